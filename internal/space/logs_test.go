package space

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestLogsAreAllThatACopyNeeds(t *testing.T) {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	a, b := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone")
	s := a.create("plans")
	write(t, s, "a=1")
	connect(t, a, b)
	x := b.joinRole(s, Editor)
	write(t, x, "b=1")
	if _, err := x.BlobLog().Append(t.Context(), []byte("content")); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
	logs, err := x.Logs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st := x.base.Status()
	for _, k := range []hypercrypto.Key{s.Key(), s.Log(), x.Log(), s.BlobLog().Key(), x.BlobLog().Key(), st.System, st.Views[0].Key} {
		if _, ok := logs[k]; !ok {
			t.Errorf("log %s is missing", k)
		}
	}
	if logs[x.BlobLog().Key()] != 1 || logs[x.Log()] == 0 || logs[st.System] == 0 {
		t.Errorf("lengths %v", logs)
	}
	all, err := b.Logs(t.Context())
	if err != nil || len(all) != len(logs) {
		t.Errorf("%d logs of all spaces, %v", len(all), err)
	}
}
