// Command sdk reads the stats of some interfaces every second and sends their sum
// to CloudWatch every minute, by the AWS SDK as its documentation shows it, with
// nothing kept or tried again: the least of a program that publishes.
//
//	sdk INTERFACE...
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/enawatch/enawatch/agent/ena"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	k, err := ena.NewKernel()
	if err != nil {
		return err
	}
	counts := make([]int, len(names))
	for i, name := range names {
		stats, err := k.StatNames(name)
		if err != nil {
			return err
		}
		counts[i] = len(stats)
	}
	b, err := ena.NewBuffer()
	if err != nil {
		return err
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := cloudwatch.NewFromConfig(cfg)
	seconds, sum := 0, 0.0
	for range time.Tick(time.Second) {
		for i, name := range names {
			if _, err := k.Stats(name, counts[i], b); err != nil {
				return err
			}
			for _, v := range b.Values(counts[i]) {
				sum += float64(v)
			}
		}
		if seconds++; seconds%60 != 1 {
			continue
		}
		_, err := client.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
			Namespace: aws.String("ENA/Footprint"),
			MetricData: []types.MetricDatum{{
				MetricName: aws.String("sum"), Value: aws.Float64(sum), Timestamp: aws.Time(time.Now()),
			}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
