package main

import (
	"fmt"
	"strings"

	"github.com/enawatch/enawatch/agent/config"
)

// keySection is the keys that stand together in the file, below one path.
type keySection struct {
	Path   string      // "" for those at the top
	Switch *configKey  // the sink that the keys are of, or nil
	Keys   []configKey // below it
}

// configKey is a key as its entry shows it.
type configKey struct{ config.Key }

// Allowed says what may be written, and what holds if nothing is.
func (k configKey) Allowed() string {
	allowed := k.Type
	switch {
	case len(k.Values) > 0 && k.Type == "list":
		allowed = "list of " + codes(k.Values)
	case len(k.Values) > 0:
		allowed = "one of " + codes(k.Values)
	}
	return fmt.Sprintf("%s, default %s", allowed, code(k.Default))
}

// Ways lists how to set the key elsewhere than in the file.
func (k configKey) Ways() string { return codes(append([]string{k.Env}, k.Flags...)) }

// configurationData is what the template of docs/configuration.md is filled in
// with.
type configurationData struct {
	DefaultPath string
	Example     string
	Sections    []*keySection
}

func configurationPage() ([]byte, error) {
	return render("configuration.tmpl", configurationData{
		DefaultPath: config.DefaultPath, Example: string(config.Print(config.Default())), Sections: keySections(config.Keys()),
	})
}

// keySections groups keys by their path, in the order of the file.
func keySections(keys []config.Key) (sections []*keySection) {
	section := func(path string) *keySection {
		for _, s := range sections {
			if s.Path == path {
				return s
			}
		}
		s := &keySection{Path: path}
		sections = append(sections, s)
		return s
	}
	for _, k := range keys {
		if k.Type == "switch" {
			section(k.Name).Switch = &configKey{k}
			continue
		}
		path := ""
		if at := strings.LastIndexByte(k.Name, '.'); at >= 0 {
			path = k.Name[:at]
		}
		s := section(path)
		s.Keys = append(s.Keys, configKey{k})
	}
	return sections
}
