package metrics

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// Metrics collects the numbers of one node. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	running  prometheus.Gauge
}

// New returns the metrics of a node whose state read returns. routes are the routes of
// its API; other requests are counted together.
func New(read func() (*State, error)) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cloudpal_api_requests_total", Help: "Requests to the local API that have ended."}, []string{"route", "status"}),
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "cloudpal_api_requests_running", Help: "Requests to the local API that have not ended."}),
	}
	m.registry.MustRegister(m.requests, m.running, &collector{read},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request counts a request to a route of the API, empty if there is none such, until
// done is called with the status of the answer.
func (m *Metrics) Request(route string) (done func(status int)) {
	if route == "" {
		route = "other"
	}
	m.running.Inc()
	return func(status int) {
		m.running.Dec()
		m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	}
}

var format = expfmt.NewFormat(expfmt.TypeTextPlain)

// Write writes all numbers. Those that can be had are written also when others cannot.
func (m *Metrics) Write(w io.Writer) error {
	families, failed := m.registry.Gather()
	enc := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return failed
}

// ServeHTTP answers with all numbers.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", string(format))
	w.Header().Set("Cache-Control", "no-store")
	_ = m.Write(w) // what is missing is missing; the client may be gone
}
