package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// dimensionSet is what series of one scope are published under.
type dimensionSet struct {
	Scope metric.Scope
	// Known are the dimensions where the ids of instance and ENI are known,
	// Unknown those where they are not.
	Known, Unknown []string
}

// dimensionSets learns the dimensions of both scopes from EMF documents.
func dimensionSets() ([]dimensionSet, error) {
	known, err := dimensionsOf("i-0123456789abcdef0", "eni-0123456789abcdef0")
	if err != nil {
		return nil, err
	}
	unknown, err := dimensionsOf("", "")
	if err != nil {
		return nil, err
	}
	var sets []dimensionSet
	for _, scope := range []metric.Scope{metric.Instance, metric.PerInterface} {
		sets = append(sets, dimensionSet{scope, known[scope], unknown[scope]})
	}
	return sets, nil
}

// dimensionsOf returns the dimensions of each scope on a host with these ids.
func dimensionsOf(instanceID, eni string) (map[metric.Scope][]string, error) {
	encoder, err := emf.NewEncoder("ENA", time.Minute)
	if err != nil {
		return nil, err
	}
	batch := &metric.Batch{
		Start: time.Unix(0, 0), Length: time.Minute,
		Resource:   metric.Resource{Host: "host", InstanceID: instanceID},
		Interfaces: []metric.Interface{{Name: "ens5", ENI: eni}},
		Series: []metric.Series{
			{Name: seriesOf(metric.Instance), Unit: metric.Count, Interface: -1, Samples: []float64{1}},
			{Name: seriesOf(metric.PerInterface), Unit: metric.Count, Scope: metric.PerInterface, Samples: []float64{1}},
		},
	}
	document, err := encoder.Append(nil, batch)
	if err != nil {
		return nil, err
	}
	var head struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if err := json.Unmarshal(document, &head); err != nil {
		return nil, err
	}
	sets := map[metric.Scope][]string{}
	for _, d := range head.AWS.CloudWatchMetrics {
		for _, scope := range []metric.Scope{metric.Instance, metric.PerInterface} {
			if d.Metrics[0].Name == seriesOf(scope) {
				sets[scope] = d.Dimensions[0]
			}
		}
	}
	if len(sets) != 2 {
		return nil, fmt.Errorf("EMF has dimensions for %d scopes, want 2", len(sets))
	}
	return sets, nil
}

// seriesOf names a series of a scope.
func seriesOf(s metric.Scope) string { return "of_" + s.String() }
