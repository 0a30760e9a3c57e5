package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// object is a JSON object. Its members are written in the order of their names.
type object = map[string]any

const about = `The local control API of a CloudPal node. It is spoken on a Unix socket that only its owner can open, and, if the node was started with --http, on a loopback address with a token.

Requests are JSON of at most 1 MiB; members that the node does not know are refused. Most answers are streams of server-sent events. The data of each is a JSON object whose member "type" repeats the event's name. The last event is "done", or "error" with an ErrorReport. Work lasts as long as its request: a client that goes away stops it.`

// Describe returns the description of the routes.
func Describe(routes []api.Route, texts *Comments) ([]byte, error) {
	s := &schemas{texts: texts, all: make(object), types: make(map[string]reflect.Type), events: make(map[reflect.Type]string)}
	for name, zero := range api.Events {
		s.events[reflect.TypeOf(zero)] = name
	}
	report := s.of(reflect.TypeFor[fault.Report]())
	paths := make(object)
	for _, r := range routes {
		op := object{
			"operationId": r.Handler,
			"responses": object{
				"200":     object{"description": "The answer.", "content": s.content(&r, report)},
				"default": object{"description": "The request failed before there was an answer.", "content": object{"application/json": object{"schema": report}}},
			},
		}
		text := r.About
		if r.Request != nil {
			t := reflect.TypeOf(r.Request)
			text = texts.Type(t)
			op["requestBody"] = object{"required": t.NumField() > 0, "content": object{"application/json": object{"schema": s.of(t)}}}
		}
		if text == "" {
			return nil, fmt.Errorf("nothing says what %s is for", r.Path)
		}
		op["summary"], _, _ = strings.Cut(strings.ReplaceAll(text, "\n", " "), ". ")
		op["summary"] = strings.TrimSuffix(op["summary"].(string), ".")
		op["description"] = text
		at, _ := paths[r.Path].(object)
		if at == nil {
			at = make(object)
			paths[r.Path] = at
		}
		at[strings.ToLower(r.Method)] = op
	}
	doc := object{
		"openapi":  "3.1.0",
		"info":     object{"title": "CloudPal local API", "version": "1", "description": about, "license": object{"name": "MIT", "identifier": "MIT"}},
		"servers":  []any{object{"url": "http://127.0.0.1:{port}", "description": "Where --http says.", "variables": object{"port": object{"default": "4979"}}}},
		"security": []any{object{"token": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas":         s.all,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "The content of the file api.token in the data folder. The socket wants none."}},
		},
	}
	if s.err != nil {
		return nil, s.err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(doc)
	return out.Bytes(), err
}

// schemas collects the schemas of types.
type schemas struct {
	texts  *Comments
	all    object
	types  map[string]reflect.Type // by name, to see that no two have the same
	events map[reflect.Type]string
	err    error
}

// content describes the answer of a route.
func (s *schemas) content(r *api.Route, report object) object {
	if r.ContentType != "text/event-stream" {
		return object{r.ContentType: object{"schema": s.of(reflect.TypeOf(r.Answer))}}
	}
	names := append(slices.Clone(r.Events), api.TypeDone)
	slices.Sort(names)
	var list []any
	mapping := object{api.TypeError: report["$ref"]}
	for _, name := range slices.Compact(names) {
		ref := s.of(reflect.TypeOf(api.Events[name]))
		list = append(list, ref)
		mapping[name] = ref["$ref"]
	}
	return object{r.ContentType: object{"schema": object{
		"description":   "The data of one event.",
		"oneOf":         append(list, report),
		"discriminator": object{"propertyName": "type", "mapping": mapping},
	}}}
}

// of returns the schema of a type, or a reference to it.
func (s *schemas) of(t reflect.Type) object {
	switch t.String() {
	case "time.Time":
		return object{"type": "string", "format": "date-time"}
	case "time.Duration":
		return object{"type": "integer", "format": "int64", "description": "Nanoseconds."}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Int32:
		return object{"type": "integer", "format": "int64"}
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		return object{"type": "integer", "format": "int64", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "binary"}
		}
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object"}
	case reflect.Struct:
		return s.named(t)
	}
	s.err = fmt.Errorf("no schema for %s", t)
	return object{}
}

// named describes a struct and returns a reference to it.
func (s *schemas) named(t reflect.Type) object {
	name := t.Name()
	if name == "Report" {
		name = "ErrorReport"
	}
	ref := object{"$ref": "#/components/schemas/" + name}
	if known := s.types[name]; known != nil {
		if known != t {
			s.err = fmt.Errorf("%s and %s have the same name", known, t)
		}
		return ref
	}
	s.types[name] = t
	properties := make(object)
	required := []string{}
	s.fields(t, properties, &required)
	schema := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		slices.Sort(required)
		schema["required"] = required
	}
	if text := s.texts.Type(t); text != "" {
		schema["description"] = text
	}
	if strings.HasSuffix(name, "Request") {
		schema["additionalProperties"] = false
	}
	if event, ok := s.events[t]; ok && name != "Info" {
		properties["type"] = object{"type": "string", "const": event}
	}
	s.all[name] = schema
	return ref
}

// fields adds the fields of a struct as encoding/json sees them.
func (s *schemas) fields(t reflect.Type, properties object, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case f.Anonymous && name == "":
			s.fields(f.Type, properties, required)
			continue
		case name == "":
			name = f.Name
		}
		schema := s.of(f.Type)
		if text := s.texts.Field(t, f.Name); text != "" {
			if own, ok := schema["description"].(string); ok {
				text += " " + own
			}
			schema["description"] = text
		}
		properties[name] = schema
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}
