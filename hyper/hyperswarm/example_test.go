package hyperswarm_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
)

// A store that exchanges one log with everybody who is interested in it.
func ExampleNew() {
	ctx := context.Background()
	store, err := corestore.Open(ctx, "data", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	key, err := hypercrypto.ParseKey("the key of the log")
	if err != nil {
		log.Fatal(err)
	}
	core, err := store.Get(ctx, corestore.GetOptions{Key: &key})
	if err != nil {
		log.Fatal(err)
	}
	defer core.Close()

	swarm := hyperswarm.New(func(ctx context.Context, c *hyperswarm.Conn) {
		_ = store.Replicate(ctx, c)
	}, nil)
	defer swarm.Close()
	if _, err := swarm.Join(hyperswarm.Topic(key.Discovery()), nil); err != nil {
		log.Fatal(err)
	}
	block, err := core.Get(ctx, 0) // waits for a peer that has it
	fmt.Println(block, err)
}
