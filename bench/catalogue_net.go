package main

// network are the works of the streams below the DHT and of the DHT itself.
func (c *catalogue) network() []work {
	sc := c.scale
	stream := func(name string, mib, loss int, floor float64) work {
		js, ours := c.both("udx", "--mb", n(mib), "--loss", n(loss))
		js.loss, ours.loss = loss, loss
		label := "udx stream"
		if loss > 0 {
			label += ", " + n(loss) + " % of packets lost"
		}
		return work{name: name, net: true, base: js, ours: ours, lines: []line{
			{name: label, output: "udx-stream", better: higher, cpu: "cpu_sender_s+cpu_receiver_s", floor: floor},
		}}
	}
	js, ours := c.both("dht", "--nodes", n(sc.dhtNodes))
	nodes := work{name: "dht", net: true, base: js, ours: ours, lines: []line{
		{name: "DHT connects per second", output: "dht-connects", better: higher, floor: 3},
		{name: "DHT connect, p50", output: "dht-connect-lat", better: lower, floor: 2},
		{name: "DHT announce", output: "dht-announce", better: lower, floor: 2.5},
		{name: "DHT lookup", output: "dht-lookup", better: lower, floor: 2.5},
		{name: "DHT immutable put", output: "dht-put", better: lower},
		{name: "DHT immutable get", output: "dht-get", better: lower},
		{name: "DHT memory per node", output: "dht-testnet-up", figure: "rss_mb_per_node", unit: "MiB", better: lower, floor: 2},
	}}
	js, ours = c.both("dht-idle", "--connections", n(sc.idle))
	js.argv = append([]string{js.argv[0], "--expose-gc"}, js.argv[1:]...)
	idle := work{name: "dht-idle", net: true, base: js, ours: ours, lines: []line{
		{name: "memory per end of an idle connection", output: "dht-idle", better: lower},
	}}
	return []work{stream("udx-stream", sc.udxMiB, 0, 0), stream("udx-loss", sc.udxMiB/8, 2, 3), nodes, idle}
}
