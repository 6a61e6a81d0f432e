package accuracy
import ("testing";"fmt";"github.com/whencehq/whence/processors/correlate";"os";"strconv";"sort")
func TestLoo(t *testing.T){
 prior:=correlate.DefaultModel().Weights
 rec,err:=Recorded("/work/shared/data/rollouts"); if err!=nil{t.Fatal(err)}
 variance:=4.0; if v:=os.Getenv("VAR");v!=""{variance,_=strconv.ParseFloat(v,64)}
 groups:=map[string]bool{}
 for _,ss:=range rec{for _,s:=range ss{groups[s.Group]=true}}
 fits:=map[string]map[string]float64{}
 for g:=range groups{ var ex []correlate.Example
  for _,ss:=range rec{for _,s:=range ss{ if s.Group!=g{ex=append(ex,s.Example)}}}
  fits[g],err=correlate.Fit(ex,prior,variance); if err!=nil{t.Fatal(err)} }
 var ex []correlate.Example
 for _,ss:=range rec{for _,s:=range ss{ex=append(ex,s.Example)}}
 full,_:=correlate.Fit(ex,prior,variance)
 var names []string; for n:=range full{names=append(names,n)}; sort.Strings(names)
 for _,n:=range names{fmt.Printf("%s=%.2f ",n,full[n])}; fmt.Println()
 for _,f:=range Folders{ for _,mode:=range []string{"hand","loo","full"}{ j1,c1,c3,ab:=0,0,0,0; br:=0.0
  for _,s:=range rec[f]{ w:=prior; if mode=="loo"{w=fits[s.Group]}; if mode=="full"{w=full}
   r:=correlate.Rank(s.Situation,&correlate.Model{Name:"x",Weights:w})
   rank:=0; found:=0
   for i,l:=range r.Links{ y:=0.0; if s.Case.Truth.Names(l.CauseKind,l.CauseID){y=1; if i==0{j1++}}
     br+=(l.Probability-y)*(l.Probability-y)
     if l.CauseKind!="none"&&l.CauseKind!="undeclared"{rank++; if y==1&&found==0{found=rank}}}
   if found==1{c1++}; if found>0&&found<=3{c3++}
   if l:=r.Links[0];l.CauseKind=="none"||s.Case.Truth.Names(l.CauseKind,l.CauseID){ab++}
   if mode=="loo"&&(!s.Case.Truth.Names(r.Links[0].CauseKind,r.Links[0].CauseID)){
     fmt.Printf("  miss %s %s %s %s\n",f,s.Group,s.Case.Truth.Service,s.Case.Truth.Fault)
     for i,l:=range r.Links{ m:=" "; if s.Case.Truth.Names(l.CauseKind,l.CauseID){m="*"}; if i>2&&m==" "{continue}
     fmt.Printf(" %s%d %.3f %6.2f %s %s:",m,l.Rank,l.Probability,l.LogOdds,l.CauseKind,l.Service)
     for _,e:=range l.Evidence{fmt.Printf(" %s=%.2f(%.1f)",e.Name,e.Value,e.Log())}
     fmt.Println()}}
  }
  fmt.Printf("%s %s: joint1 %d changes1 %d changes3 %d abstained-or-right %d of %d brier %.3f\n",f,mode,j1,c1,c3,ab,len(rec[f]),br/float64(len(rec[f])))
 }}
}
