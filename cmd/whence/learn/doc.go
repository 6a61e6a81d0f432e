// Package learn retrains the weights by which causes are ranked from what people
// confirmed.
//
//	cases, skipped, err := learn.Read(ctx, ask)
//	report, err := learn.From(cases, skipped, learn.Options{...})
//
// A case is an incident with the ranking that people were shown and what they
// said the cause was. People confirm what they are shown: of true causes those
// shown low are confirmed less often, so a model that learns from confirmations
// as they are learns to repeat itself. Each case counts by the inverse of how
// likely a cause at its rank gets confirmed, (1/rank)^eta, but no more than that
// of a least likelihood (Joachims, Swaminathan and Schnabel, Unbiased
// Learning-to-Rank with Biased Feedback, WSDM 2017).
//
// A share of the incidents, the same ones each time, is never learned from. What
// the new weights say of these tells whether they are better or only fit what
// they have seen.
//
// A term that had no weight when an effect was ranked is not in its evidence: of
// such nothing is learned, and they keep the weight of the model to start from.
package learn
