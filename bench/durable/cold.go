package durable

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

const (
	coldObjects = 40
	coldBytes   = 1 << 20
)

// Cold is objects with 1 MB of data each that have left memory, and a request
// to each that reads all of it. That they had left is checked: each instance has
// an id. The pages are in the kernel's cache.
func Cold() contest.Question {
	return contest.Question{
		Name:    "first request to an object with 1 MB",
		Asks:    "How soon does an object answer that is not in memory and has data?",
		Metrics: []contest.Metric{contest.P50, contest.P99, {Name: "warm", Unit: "µs p50 of the second request"}},
		Rounds:  1,
		Workers: true,
		Asleep:  true,
		Prepare: func(t *contest.Target) (any, error) {
			born := make([]string, coldObjects)
			for i := range born {
				a, _, err := visit(t, "POST", i, fmt.Sprintf("?rows=%d", coldBytes/1000))
				if err != nil {
					return nil, err
				}
				born[i] = a.Born
			}
			return born, nil
		},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			born := t.Prepared.([]string)
			var cold, warm load.Histogram
			for i := range born {
				a, took, err := visit(t, "GET", i, "")
				if err != nil {
					return contest.Sample{}, err
				}
				if a.Born == born[i] || a.Bytes != coldBytes/1000*1000 {
					return contest.Sample{}, fmt.Errorf("object %d answered %+v and was born as %s: not what was to be measured", i, a, born[i])
				}
				cold.Add(took, 1)
				if _, took, err = visit(t, "GET", i, ""); err != nil {
					return contest.Sample{}, err
				}
				warm.Add(took, 1)
			}
			sample := contest.Sample{Values: map[string]float64{"warm": float64(warm.Quantile(0.5)) / float64(time.Microsecond)}}
			sample.Latencies(&cold)
			return sample, nil
		},
	}
}

type answer struct {
	Born  string
	Bytes int
}

func visit(t *contest.Target, method string, i int, query string) (a answer, took time.Duration, err error) {
	req, err := http.NewRequest(method, fmt.Sprintf("http://%s/http/Store/cold-%d%s", t.Server.Addr, i, query), nil)
	if err != nil {
		return a, 0, err
	}
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return a, 0, err
	}
	took = time.Since(began)
	if res.StatusCode != http.StatusOK {
		return a, 0, fmt.Errorf("%s: status %d: %.200s", req.URL, res.StatusCode, text)
	}
	return a, took, json.Unmarshal(text, &a)
}
