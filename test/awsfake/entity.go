package awsfake

import "slices"

// Entity says what telemetry speaks of (CloudWatch User Guide, "How to add
// related information to telemetry").
type Entity struct {
	KeyAttributes map[string]string `json:"keyAttributes"`
	Attributes    map[string]string `json:"attributes"`
}

// Reasons for which an entity is refused: the values of X-Amzn-Failure-Message
// of PutMetricData and of RejectedEntityInfo of PutLogEvents.
const (
	invalidEntity         = "InvalidEntity"
	invalidKeyAttributes  = "InvalidKeyAttributes"
	invalidAttributes     = "InvalidAttributes"
	invalidTypeValue      = "InvalidTypeValue"
	entitySizeTooLarge    = "EntitySizeTooLarge"
	missingRequiredFields = "MissingRequiredFields"
)

// entityKeys are the names that KeyAttributes may have. The documentation
// lists the first five; the CloudWatch agent sends the account too.
var entityKeys = []string{"Type", "ResourceType", "Identifier", "Name", "Environment", "AwsAccountId"}

// entityFields are the key attributes that each Type must have.
var entityFields = map[string][]string{
	"Service":       {"Name", "Environment"},
	"RemoteService": {"Name"},
	"AWS::Service":  {"Name"},
	"AWS::Resource": {"ResourceType", "Identifier"},
	"Resource":      {"ResourceType", "Identifier"},
}

// check returns why the entity is refused, or "".
func (e *Entity) check() string {
	if e == nil {
		return invalidEntity
	}
	// EntityKeyAttributesMap has 2 to 4 members of 1 to 2048 characters.
	if len(e.KeyAttributes) < 2 || len(e.KeyAttributes) > 4 {
		return invalidKeyAttributes
	}
	for name, value := range e.KeyAttributes {
		if !slices.Contains(entityKeys, name) || len(value) < 1 || len(value) > 2048 {
			return invalidKeyAttributes
		}
	}
	kind, ok := e.KeyAttributes["Type"]
	if !ok {
		return missingRequiredFields
	}
	fields, ok := entityFields[kind]
	if !ok {
		return invalidTypeValue
	}
	for _, name := range fields {
		if e.KeyAttributes[name] == "" {
			return missingRequiredFields
		}
	}
	// EntityAttributesMap has at most 10 members, names of 1 to 256 and values
	// of 1 to 2048 characters.
	if len(e.Attributes) > 10 {
		return invalidAttributes
	}
	for name, value := range e.Attributes {
		if len(name) < 1 || len(name) > 256 || len(value) < 1 || len(value) > 2048 {
			return invalidAttributes
		}
	}
	return ""
}
