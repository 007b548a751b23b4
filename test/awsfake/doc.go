// Package awsfake is a stand-in for the parts of AWS that enawatch talks to,
// for tests. One listener speaks
//
//   - CloudWatch (Smithy RPC v2 CBOR): PutMetricData; alarms, dashboards and
//     Contributor Insights rules, with their tags and at their rate,
//   - CloudWatch Logs (AWS JSON 1.1): groups, their tags, streams, retention, PutLogEvents,
//     saved queries,
//   - Amazon Managed Prometheus: remote write 1.0,
//   - CloudWatch OTLP metrics,
//   - the EC2 instance metadata service, version 2,
//   - STS (AWS Query), and the container credential endpoint of ECS and EKS.
//
// It verifies every signature, enforces every documented limit with the
// documented error, keeps what it accepted and answers sums over it. Faults,
// scripted or drawn from a seed, make it fail in each way that AWS and the
// network in front of it can fail.
//
// A Server is also driven from another process: cmd/awsfake runs one, and the
// paths under /_fake/ (control.go) script its faults and ask what it holds.
//
// The wire formats and limits come from the AWS SDK for Go v2 at the versions
// in go.mod and from the AWS API references. Texts of errors are those that
// users of the services have quoted in public.
package awsfake
