package emfspec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// number is a JSON number as it is written; it is known to fit a float64.
type number string

func (n number) float() float64 {
	f, _ := strconv.ParseFloat(string(n), 64) // parse has refused what does not fit
	return f
}

// parse reads one JSON object into maps, slices, strings, numbers, booleans and
// nil. Unlike encoding/json it refuses names that an object has twice, since
// readers differ in which one counts, and numbers that no float64 can hold.
func parse(text []byte) (map[string]any, error) {
	if !json.Valid(text) { // true for one value only, with at most 10,000 levels
		return nil, errors.New("the document is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := parseValue(d, "")
	if err != nil {
		return nil, err
	}
	return value.(map[string]any), nil
}

func parseValue(d *json.Decoder, path string) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("the document is not JSON: %w", err)
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return parseObject(d, path)
		}
		return parseArray(d, path)
	case json.Number:
		if _, err := strconv.ParseFloat(t.String(), 64); err != nil {
			return nil, fmt.Errorf("%s: the number %s is not finite in a float64", path, t)
		}
		return number(t), nil
	default:
		return t, nil
	}
}

func parseObject(d *json.Decoder, path string) (any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("the document is not JSON: %w", err)
		}
		name := token.(string)
		member := name
		if path != "" {
			member = path + "." + name
		}
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("%s: the member stands there twice", member)
		}
		if object[name], err = parseValue(d, member); err != nil {
			return nil, err
		}
	}
	_, err := d.Token() // the closing brace
	return object, err
}

func parseArray(d *json.Decoder, path string) (any, error) {
	array := []any{}
	for d.More() {
		value, err := parseValue(d, path+"["+strconv.Itoa(len(array))+"]")
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := d.Token() // the closing bracket
	return array, err
}

// plain returns value with its numbers as float64.
func plain(value any) any {
	switch t := value.(type) {
	case number:
		return t.float()
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = plain(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for name, e := range t {
			out[name] = plain(e)
		}
		return out
	default:
		return t
	}
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
