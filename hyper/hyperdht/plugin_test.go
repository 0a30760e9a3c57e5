package hyperdht

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestPluginMessageOfTheOtherStack(t *testing.T) {
	var v struct {
		Commands struct{ PLUGIN uint64 }
		Plugin   struct{ Encoded, EncodedNoValue string }
	}
	load(t, "net-hyperdht.json", &v)
	if v.Commands.PLUGIN != cmdPlugin {
		t.Errorf("command %d", v.Commands.PLUGIN)
	}
	for want, m := range map[string]pluginMessage{
		v.Plugin.Encoded:        {name: "name", version: 1, command: 2, value: []byte("abc")},
		v.Plugin.EncodedNoValue: {name: "name", version: 1, command: 2},
	} {
		equalHex(t, "message", m.appendTo(nil), want)
		got, err := decodePluginMessage(unhex(t, want))
		if err != nil || got.name != m.name || got.version != 1 || got.command != 2 || !bytes.Equal(got.value, m.value) || (got.value == nil) != (m.value == nil) {
			t.Errorf("%s: %+v, %v", want, got, err)
		}
		if b, _ := hex.DecodeString(want); len(b) > 0 {
			if _, err := decodePluginMessage(b[:len(b)-1]); err == nil {
				t.Errorf("%s: accepted without its end", want)
			}
		}
	}
}

func TestPluginsAnswer(t *testing.T) {
	inWorld(t, 6, func(w *world) {
		answer := func(q PluginRequest) ([]byte, bool) {
			return append([]byte("re: "), q.Value...), q.Command == 7 && q.Target != nil && !q.Proven
		}
		stop, err := w.dhts[2].Register(Plugin{Name: "echo", Version: 3, Answer: answer})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.dhts[3].Register(Plugin{Name: "echo", Version: 4, Answer: answer}); err != nil {
			t.Fatal(err)
		}
		ask := func(version, command uint64) (n int) {
			for a, err := range w.dhts[5].QueryPlugin(w.t.Context(), Topic{1}, "echo", version, command, []byte("hi")) {
				if err != nil {
					w.t.Fatal(err)
				}
				if string(a.Value) != "re: hi" {
					w.t.Errorf("%v answers %q", a.From, a.Value)
				}
				n++
			}
			return n
		}
		if n := ask(3, 7); n != 1 {
			w.t.Errorf("%d answers of version 3", n)
		}
		if n := ask(3, 8); n != 0 {
			w.t.Errorf("%d answers to an unknown command", n)
		}
		if n := ask(5, 7); n != 0 {
			w.t.Errorf("%d answers of a version that nobody has", n)
		}
		stop()
		if n := ask(3, 7); n != 0 {
			w.t.Errorf("%d answers after the end", n)
		}
	})
}

func TestPluginsNeedNameAndAnswer(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		if _, err := w.dhts[0].Register(Plugin{Name: "x"}); err == nil {
			w.t.Error("a plugin that answers nothing")
		}
		if _, err := w.dhts[0].Register(Plugin{Answer: func(PluginRequest) ([]byte, bool) { return nil, false }}); err == nil {
			w.t.Error("a plugin without a name")
		}
	})
}

func FuzzPluginMessage(f *testing.F) {
	f.Add((&pluginMessage{"name", 1, 2, []byte("abc")}).appendTo(nil))
	f.Add((&pluginMessage{"", 0, 0, nil}).appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodePluginMessage(b)
		if err != nil {
			return
		}
		again, err := decodePluginMessage(m.appendTo(nil))
		if err != nil || again.name != m.name || again.version != m.version || again.command != m.command || !bytes.Equal(again.value, m.value) {
			t.Fatalf("%+v, %+v, %v", m, again, err)
		}
	})
}
