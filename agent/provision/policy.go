package provision

import "encoding/json"

// Policy is an IAM policy that allows what one part of the program needs, and no
// more.
type Policy struct {
	// Name is that of its file, and Purpose says who needs it.
	Name, Purpose string
	Document      Document
}

// Document is the body of a policy.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement allows actions.
type Statement struct {
	Sid, Effect string
	Action      []string
	Resource    []string
	Condition   map[string]map[string][]string `json:",omitempty"`
}

// JSON returns the document as IAM takes it.
func (d Document) JSON() []byte {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(err) // strings alone
	}
	return append(text, '\n')
}

func allow(sid string, resources []string, actions ...string) Statement {
	return Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// all is every resource: what CloudWatch has no narrower name for.
var all = []string{"*"}

// planning allows what plan needs.
func planning() Statement {
	return allow("Plan", all,
		"cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:ListDashboards", "cloudwatch:GetDashboard",
		"cloudwatch:DescribeInsightRules", "logs:DescribeQueryDefinitions")
}

// Applying is what apply and destroy need for a set: to change what has its
// prefix, as far as IAM knows narrower names ("Actions, resources, and condition
// keys for Amazon CloudWatch").
func Applying(set string) Document {
	alarms, rules := "arn:aws:cloudwatch:*:*:alarm:"+set+"-*", "arn:aws:cloudwatch:*:*:insight-rule/"+set+"-*"
	dashboards := "arn:aws:cloudwatch::*:dashboard/" + set
	role := allow("QueryRole", []string{"arn:aws:iam::*:role/" + set + "-*"}, "iam:PassRole") // of log alarms
	role.Condition = map[string]map[string][]string{"StringEquals": {"iam:PassedToService": {"cloudwatch.amazonaws.com"}}}
	return Document{"2012-10-17", []Statement{
		planning(),
		allow("Alarms", []string{alarms}, "cloudwatch:PutMetricAlarm", "cloudwatch:PutLogAlarm", "cloudwatch:DeleteAlarms"),
		allow("CompositeAlarms", all, "cloudwatch:PutCompositeAlarm"), // takes nothing narrower (API_PutCompositeAlarm)
		allow("Dashboards", []string{dashboards}, "cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"),
		allow("Rules", []string{rules}, "cloudwatch:PutInsightRule", "cloudwatch:DeleteInsightRules"),
		allow("Tags", []string{alarms, dashboards, rules}, "cloudwatch:TagResource"),
		allow("Queries", all, "logs:PutQueryDefinition", "logs:DeleteQueryDefinition"), // have no ARN
		role,
	}}
}

// PutMetrics is what the agent needs for CloudWatch metrics in a namespace.
func PutMetrics(namespace string) Document {
	s := allow("PutENAMetrics", all, "cloudwatch:PutMetricData")
	s.Condition = map[string]map[string][]string{"StringEquals": {"cloudwatch:namespace": {namespace}}}
	return Document{"2012-10-17", []Statement{s}}
}

// Policies lists the policies that are written here; those of the sinks for
// CloudWatch and remote write stand beside them.
func Policies() []Policy {
	const version = "2012-10-17"
	group := "arn:aws:logs:*:*:log-group:" + DefaultLogGroup
	return []Policy{
		{"emf-logs", "sinks.emf with output logs://", Document{version, []Statement{
			allow("WriteEMF", []string{group + ":*"}, "logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:CreateLogStream", "logs:PutLogEvents"),
			// Tagging takes the name as it is (types.LogGroup in the SDK).
			allow("TagLogGroup", []string{group}, "logs:TagResource", "logs:ListTagsForResource"),
			allow("SeeLogGroups", []string{"arn:aws:logs:*:*:log-group:*"}, "logs:DescribeLogGroups"),
		}}},
		{"otlp", "sinks.otlp with sigv4", Document{version, []Statement{allow("PutOTLPMetrics", all, "cloudwatch:PutMetricData")}}},
		{"plan", "enawatch alarms plan, enawatch dashboard plan", Document{version, []Statement{planning()}}},
		{"apply", "enawatch alarms apply and destroy, enawatch dashboard apply and destroy, of a set named " + DefaultName, Applying(DefaultName)},
	}
}
