package awsfake

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// queryDefinition is a saved Logs Insights query.
type queryDefinition struct {
	QueryDefinitionId string   `json:"queryDefinitionId"`
	Name              string   `json:"name"`
	QueryString       string   `json:"queryString"`
	LogGroupNames     []string `json:"logGroupNames"`

	token string // by which it was made
}

// clientToken is the form of an idempotency token.
var clientToken = regexp.MustCompile(`^\S{36,128}$`)

// queryPage is how many queries one call returns.
const queryPage = 1000

func (l *Logs) putQueryDefinition(c *call, body []byte) (any, int, *apiError) {
	var in struct {
		queryDefinition
		ClientToken *string
	}
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	if in.ClientToken != nil {
		if !clientToken.MatchString(*in.ClientToken) {
			return nil, 0, invalidLogs("1 validation error detected: Value '%s' at 'clientToken' failed to satisfy constraint: Member must satisfy regular expression pattern: \\S{36,128}", *in.ClientToken)
		}
		in.token = *in.ClientToken
	}
	if n := len(in.QueryString); in.Name == "" || len(in.Name) > 255 || n < 1 || n > 10_000 || len(in.LogGroupNames) > 50 {
		return nil, 0, invalidLogs("1 validation error detected: the name, query string or log groups are invalid")
	}
	for _, g := range in.LogGroupNames {
		if e := checkGroupName(g); e != nil {
			return nil, 0, e
		}
	}
	if in.QueryDefinitionId == "" {
		for _, q := range l.queries {
			if in.token != "" && q.token == in.token {
				return map[string]string{"queryDefinitionId": q.QueryDefinitionId}, 1, nil
			}
		}
		in.QueryDefinitionId = fmt.Sprintf("00000000-0000-4000-9000-%012d", c.record.Seq)
		l.queries = append(l.queries, in.queryDefinition)
		return map[string]string{"queryDefinitionId": in.QueryDefinitionId}, 1, nil
	}
	at := slices.IndexFunc(l.queries, func(q queryDefinition) bool { return q.QueryDefinitionId == in.QueryDefinitionId })
	if at < 0 {
		return nil, 0, logsError("ResourceNotFoundException", "The specified query definition does not exist.")
	}
	l.queries[at] = in.queryDefinition
	return map[string]string{"queryDefinitionId": in.QueryDefinitionId}, 1, nil
}

func (l *Logs) describeQueryDefinitions(_ *call, body []byte) (any, int, *apiError) {
	var in struct{ QueryDefinitionNamePrefix string }
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	found := []queryDefinition{}
	for _, q := range l.queries {
		if strings.HasPrefix(q.Name, in.QueryDefinitionNamePrefix) && len(found) < queryPage {
			found = append(found, q)
		}
	}
	return map[string]any{"queryDefinitions": found}, 0, nil
}

func (l *Logs) deleteQueryDefinition(_ *call, body []byte) (any, int, *apiError) {
	var in queryDefinition
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	before := len(l.queries)
	l.queries = slices.DeleteFunc(l.queries, func(q queryDefinition) bool { return q.QueryDefinitionId == in.QueryDefinitionId })
	if len(l.queries) == before {
		return nil, 0, logsError("ResourceNotFoundException", "The specified query definition does not exist.")
	}
	return map[string]bool{"success": true}, 0, nil
}
