package logs

// Inputs and outputs of operations, with those of their members that this program
// uses (CloudWatch Logs API reference). A member that may be absent is so if it
// is empty.

// PutLogEventsInput is that of PutLogEvents. Events are in the order of time.
type PutLogEventsInput struct {
	Entity        *Entity `json:"entity,omitempty"`
	LogEvents     []Event `json:"logEvents"`
	LogGroupName  string  `json:"logGroupName"`
	LogStreamName string  `json:"logStreamName"`
}

// Event is a log event.
type Event struct {
	Message   string `json:"message"`
	Timestamp int64  `json:"timestamp"` // in ms since 1970
}

// Entity says what events speak of.
type Entity struct {
	KeyAttributes map[string]string `json:"keyAttributes,omitempty"`
	Attributes    map[string]string `json:"attributes,omitempty"`
}

// PutLogEventsOutput is that of PutLogEvents. Nil pointers say that nothing was
// rejected.
type PutLogEventsOutput struct {
	RejectedEntityInfo    *RejectedEntity `json:"rejectedEntityInfo"`
	RejectedLogEventsInfo *RejectedEvents `json:"rejectedLogEventsInfo"`
}

// RejectedEntity says why events were taken without their entity.
type RejectedEntity struct {
	ErrorType string `json:"errorType"`
}

// RejectedEvents has indices of events: those from TooNewLogEventStartIndex on and
// those before the others were not taken. Nil is none.
type RejectedEvents struct {
	ExpiredLogEventEndIndex  *int `json:"expiredLogEventEndIndex"`
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex"`
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex"`
}

// ClassStandard is the class of log groups that extract metrics.
const ClassStandard = "STANDARD"

// CreateLogGroupInput is that of CreateLogGroup, which has no output.
type CreateLogGroupInput struct {
	LogGroupClass string            `json:"logGroupClass,omitempty"`
	LogGroupName  string            `json:"logGroupName"`
	Tags          map[string]string `json:"tags,omitempty"`
}

// CreateLogStreamInput is that of CreateLogStream, which has no output.
type CreateLogStreamInput struct {
	LogGroupName  string `json:"logGroupName"`
	LogStreamName string `json:"logStreamName"`
}

// PutRetentionPolicyInput is that of PutRetentionPolicy, which has no output.
type PutRetentionPolicyInput struct {
	LogGroupName    string `json:"logGroupName"`
	RetentionInDays int    `json:"retentionInDays"`
}

// DescribeLogGroupsInput is that of DescribeLogGroups.
type DescribeLogGroupsInput struct {
	Limit              int    `json:"limit,omitempty"`
	LogGroupNamePrefix string `json:"logGroupNamePrefix,omitempty"`
}

// DescribeLogGroupsOutput is that of DescribeLogGroups: a page, sorted by name.
type DescribeLogGroupsOutput struct {
	LogGroups []LogGroup `json:"logGroups"`
}

// LogGroup is a group as it is.
type LogGroup struct {
	LogGroupArn     string `json:"logGroupArn"` // without ":*" at its end
	LogGroupClass   string `json:"logGroupClass"`
	LogGroupName    string `json:"logGroupName"`
	RetentionInDays int    `json:"retentionInDays"` // 0 for ever
	StoredBytes     int64  `json:"storedBytes"`
}

// ListTagsForResourceInput is that of ListTagsForResource.
type ListTagsForResourceInput struct {
	ResourceArn string `json:"resourceArn"`
}

// ListTagsForResourceOutput is that of ListTagsForResource.
type ListTagsForResourceOutput struct {
	Tags map[string]string `json:"tags"`
}

// PutQueryDefinitionInput is that of PutQueryDefinition, whose output is not used.
type PutQueryDefinitionInput struct {
	// ClientToken has 36 to 128 characters: what comes twice with one counts once.
	ClientToken   string   `json:"clientToken,omitempty"`
	LogGroupNames []string `json:"logGroupNames,omitempty"`
	Name          string   `json:"name"`
	// QueryDefinitionId is that of a query to change, "" for a new one.
	QueryDefinitionId string `json:"queryDefinitionId,omitempty"`
	QueryString       string `json:"queryString"`
}

// DescribeQueryDefinitionsInput is that of DescribeQueryDefinitions.
type DescribeQueryDefinitionsInput struct {
	NextToken                 string `json:"nextToken,omitempty"`
	QueryDefinitionNamePrefix string `json:"queryDefinitionNamePrefix,omitempty"`
}

// DescribeQueryDefinitionsOutput is that of DescribeQueryDefinitions: a page, the
// last if it has no NextToken.
type DescribeQueryDefinitionsOutput struct {
	NextToken        string            `json:"nextToken"`
	QueryDefinitions []QueryDefinition `json:"queryDefinitions"`
}

// QueryDefinition is a saved query.
type QueryDefinition struct {
	LogGroupNames     []string `json:"logGroupNames"`
	Name              string   `json:"name"`
	QueryDefinitionId string   `json:"queryDefinitionId"`
	QueryString       string   `json:"queryString"`
}

// DeleteQueryDefinitionInput is that of DeleteQueryDefinition, whose output is not
// used.
type DeleteQueryDefinitionInput struct {
	QueryDefinitionId string `json:"queryDefinitionId"`
}
