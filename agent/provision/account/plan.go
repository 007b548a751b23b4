package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/enawatch/enawatch/agent/provision"
)

// Action is what is done about one resource.
type Action string

const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
	// Keep is for what the set owns and does not want, if it may stay.
	Keep Action = "keep"
	// Conflict is for what has a wanted name and is somebody else's.
	Conflict Action = "conflict"
)

// Kinds are the kinds of resources that one plan is about.
type Kinds bool

const (
	// Alarms are metric, log and composite alarms.
	Alarms Kinds = true
	// Views are dashboards, Contributor Insights rules and saved queries.
	Views Kinds = false
)

// Step is one change. Fields names what differs, of an update.
type Step struct {
	Action Action   `json:"action"`
	Kind   string   `json:"kind"`
	Name   string   `json:"name"`
	Fields []string `json:"fields,omitempty"`

	resource *resource
	// arn and id are those of what is there.
	arn, id string
}

// Plan is what would change, and how much is as it should be.
type Plan struct {
	Set       string `json:"set"`
	Steps     []Step `json:"steps"`
	Unchanged int    `json:"unchanged"`
}

// Changes returns how many steps change anything.
func (p *Plan) Changes() int {
	return p.Count(Create) + p.Count(Update) + p.Count(Delete)
}

// Count returns how many steps have an action.
func (p *Plan) Count(a Action) (n int) {
	for _, s := range p.Steps {
		if s.Action == a {
			n++
		}
	}
	return n
}

// errParameters is for sets that only an export can make something of.
var errParameters = errors.New("the set has parameters")

// Plan compares an account with a set. What the set owns and does not want is
// deleted if prune is true.
func (a *Account) Plan(ctx context.Context, want *provision.Set, kinds Kinds, prune bool) (*Plan, error) {
	for _, p := range want.Parameters {
		return nil, fmt.Errorf("%w: %s is not given: %s", errParameters, p.Name, p.Description)
	}
	wanted, err := wantedOf(want)
	if err != nil {
		return nil, err
	}
	found, err := a.find(ctx, want.Name, kinds, wanted)
	if err != nil {
		return nil, err
	}
	p := &Plan{Set: want.Name, Steps: []Step{}}
	for i := range wanted {
		w := &wanted[i]
		at := slices.IndexFunc(found, func(f existing) bool { return f.name == w.name && f.family() == w.family() })
		if at < 0 {
			p.Steps = append(p.Steps, Step{Action: Create, Kind: w.kind, Name: w.name, resource: w})
			continue
		}
		f := found[at]
		found = slices.Delete(found, at, at+1)
		step := Step{Action: Update, Kind: w.kind, Name: w.name, Fields: differences(w.input, f.current), resource: w, arn: f.arn, id: f.id}
		if f.kind != w.kind {
			step.Fields = []string{"it is a " + f.kind}
		}
		if len(step.Fields) == 0 {
			p.Unchanged++
			continue
		}
		mine, err := a.owns(ctx, want.Name, f)
		if err != nil {
			return nil, err
		}
		if !mine || f.kind != w.kind {
			step.Action = Conflict
		}
		p.Steps = append(p.Steps, step)
	}
	return p, a.planRest(ctx, p, found, prune)
}

// planRest plans what becomes of what nobody wants.
func (a *Account) planRest(ctx context.Context, p *Plan, found []existing, prune bool) error {
	for i, f := range found {
		a.o.Progress(i, len(found), "looking whose "+f.name+" is")
		mine, err := a.owns(ctx, p.Set, f)
		if err != nil {
			return err
		}
		if !mine {
			continue
		}
		step := Step{Action: Keep, Kind: f.kind, Name: f.name, arn: f.arn, id: f.id}
		if prune {
			step.Action = Delete
		}
		p.Steps = append(p.Steps, step)
	}
	return nil
}

// Owned returns a plan that deletes everything that a set owns.
func (a *Account) Owned(ctx context.Context, set string, kinds Kinds) (*Plan, error) {
	return a.Plan(ctx, &provision.Set{Name: set}, kinds, true)
}

// resource is something that is wanted, as the API takes it.
type resource struct {
	kind, name string
	input      any
}

// family says among what a name is unique: alarms of all kinds share one space.
func family(kind string) string {
	if strings.HasSuffix(kind, "alarm") {
		return "alarm"
	}
	return kind
}

func (r *resource) family() string { return family(r.kind) }

// existing is something that is there.
type existing struct {
	kind, name, arn, id string
	current             any // of the API's type
}

func (e *existing) family() string { return family(e.kind) }

// convert fills a type of the API from one of package provision, whose fields
// have the same names.
func convert[T any](from any) (*T, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	out := new(T)
	return out, json.Unmarshal(text, out)
}

// differences names the fields of an input that the current state does not have
// as wanted. Tags can't be changed by it.
func differences(input, current any) (names []string) {
	want, have := reflect.ValueOf(input).Elem(), reflect.ValueOf(current).Elem()
	for i := range want.NumField() {
		f := want.Type().Field(i)
		if !f.IsExported() || f.Name == "Tags" {
			continue
		}
		h := have.FieldByName(f.Name)
		if h.IsValid() && !same(f.Name, normal(want.Field(i)), normal(h)) {
			names = append(names, f.Name)
		}
	}
	return names
}

// normal makes what means the same the same: what is not there and what is empty.
func normal(v reflect.Value) any {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case types.ScheduledQueryConfiguration:
		x.QueryARN, x.Tags = nil, nil // set by the service
		return x
	case []types.Dimension:
		slices.SortFunc(x, func(a, b types.Dimension) int { return strings.Compare(aws.ToString(a.Name), aws.ToString(b.Name)) })
	case types.EvaluationWindow:
		if _, sliding := x.(*types.EvaluationWindowMemberSlidingWindow); sliding {
			return nil // what it is if nothing is said
		}
	}
	if v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 {
		return nil
	}
	return v.Interface()
}

// same compares two values. Bodies in JSON are the same if they say the same.
func same(field string, want, have any) bool {
	switch {
	case reflect.DeepEqual(want, have):
		return true
	case field == "DashboardBody" || field == "RuleDefinition":
		return sameJSON(want, have)
	}
	// Pointers inside are compared by what they point to.
	w, err1 := json.Marshal(want)
	h, err2 := json.Marshal(have)
	return err1 == nil && err2 == nil && string(w) == string(h)
}

func sameJSON(want, have any) bool {
	a, okA := want.(string)
	b, okB := have.(string)
	var x, y any
	return okA && okB && json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}
