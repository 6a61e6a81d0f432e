package producers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whencehq/whence/pipeline/pipelinetest"
)

// python is the folder of programs of a virtual environment with what
// testdata/python/requirements.txt pins.
func python(t *testing.T) string {
	t.Helper()
	pipelinetest.Need(t, "python3")
	want, err := os.ReadFile(filepath.Join("testdata", "python", "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(pipelinetest.Cache(t), "producers-python")
	once(t, dir, want, func() {
		run(t, "", "python3", "-m", "venv", dir)
		run(t, "", filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", filepath.Join("testdata", "python", "requirements.txt"))
	})
	return filepath.Join(dir, "bin")
}

// program is one that is installed, or that was unpacked into the folder root.
type program struct{ path, root string }

// debian finds a program, or unpacks it and libraries from Debian packages,
// which needs no root. Started with try it has to end well.
func debian(t *testing.T, name, try string, packages ...string) program {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return program{path: path}
	}
	pipelinetest.Need(t, "apt-get", "dpkg", "unshare")
	p := program{root: filepath.Join(pipelinetest.Cache(t), "producers-debian", name)}
	p.path = filepath.Join(p.root, "usr", "bin", name)
	once(t, p.root, []byte(strings.Join(packages, " ")), func() {
		if err := os.MkdirAll(p.root, 0o755); err != nil {
			t.Fatal(err)
		}
		download := exec.CommandContext(t.Context(), "apt-get", append([]string{"download"}, packages...)...)
		download.Dir = p.root
		if out, err := download.CombinedOutput(); err != nil {
			pipelinetest.Without(t, "%s is not installed and apt-get can't download it (apt-get update?): %v\n%s", name, err, out)
		}
		archives, err := filepath.Glob(filepath.Join(p.root, "*.deb"))
		if err != nil {
			t.Fatal(err)
		}
		for _, archive := range archives {
			run(t, p.root, "dpkg", "-x", archive, p.root)
		}
	})
	if out, err := p.command(try).CombinedOutput(); err != nil {
		pipelinetest.Without(t, "%s is not installed and can't run from a folder here: %v\n%s", name, err, out)
	}
	return p
}

// command starts the program. One that was unpacked has a /usr/share of its
// own: paths to it are compiled in.
func (p program) command(args ...string) *exec.Cmd {
	if p.root == "" {
		return exec.Command(p.path, args...)
	}
	mounted := []string{"--map-root-user", "--mount", "sh", "-c", `mount --bind "$0/usr/share" /usr/share && exec "$@"`, p.root, p.path}
	cmd := exec.Command("unshare", append(mounted, args...)...)
	libraries, _ := filepath.Glob(filepath.Join(p.root, "usr", "lib", "*-linux-gnu*")) // the pattern is good
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	return cmd
}

// once fills dir with what content stands for, if it isn't there yet.
func once(t *testing.T, dir string, content []byte, fill func()) {
	t.Helper()
	stamp := filepath.Join(dir, "installed")
	if got, err := os.ReadFile(stamp); err == nil && bytes.Equal(got, content) {
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	fill()
	if err := os.WriteFile(stamp, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
	return string(out)
}
