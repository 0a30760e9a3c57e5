package lan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Names and times on the wire.
const (
	service = "_hyperlan._tcp.local."
	// lifetime is how long an announcement is good for.
	lifetime = 120 * time.Second
	// cacheFlush marks a record as the only ones of its name and type.
	cacheFlush = 1 << 15

	maxPacket = 9000
	// maxRecords limits what is read of a packet.
	maxRecords = 128
	// maxKnown limits the known answers in a question.
	maxKnown = 40
)

// announcement says that some topics can be had at a port.
type announcement struct {
	label label
	port  uint16
	ids   []id // sorted, at most maxIDs
	ttl   time.Duration
}

// message is what a packet says that matters here.
type message struct {
	// asked tells that all announcements are asked for, but those known.
	asked bool
	known []label
	// askedFor holds labels whose records are asked for.
	askedFor []label

	announcements []announcement
	goodbyes      []label
}

var errPacket = errors.New("lan: malformed packet")

// parse reads a packet. Records of other services are skipped, not understood.
func parse(b []byte) (*message, error) {
	if len(b) > maxPacket {
		return nil, errPacket
	}
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPacket, err)
	}
	if h.OpCode != 0 || h.RCode != dnsmessage.RCodeSuccess {
		return nil, errPacket
	}
	m := new(message)
	if err := m.parseQuestions(&p, h.Response); err != nil {
		return nil, fmt.Errorf("%w: %w", errPacket, err)
	}
	if h.Response || m.asked {
		if err := m.parseAnswers(&p, h.Response); err != nil {
			return nil, fmt.Errorf("%w: %w", errPacket, err)
		}
	}
	return m, nil
}

func (m *message) parseQuestions(p *dnsmessage.Parser, response bool) error {
	for range maxRecords {
		q, err := p.Question()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		name := q.Name.String()
		if response {
			continue
		}
		if strings.EqualFold(name, service) && (q.Type == dnsmessage.TypePTR || q.Type == dnsmessage.TypeALL) {
			m.asked = true
		} else if l, ok := instanceLabel(name); ok {
			m.askedFor = append(m.askedFor, l)
		} else if l, ok := hostLabel(name); ok {
			m.askedFor = append(m.askedFor, l)
		}
	}
	return errPacket
}

// parseAnswers reads the records of a response, or the known answers of a
// question.
func (m *message) parseAnswers(p *dnsmessage.Parser, response bool) error {
	var found []announcement
	at := func(l label) *announcement {
		i := slices.IndexFunc(found, func(a announcement) bool { return a.label == l })
		if i < 0 {
			i, found = len(found), append(found, announcement{label: l})
		}
		return &found[i]
	}
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return err
		}
		switch l, ours := instanceLabel(h.Name.String()); {
		case h.Type == dnsmessage.TypePTR && strings.EqualFold(h.Name.String(), service):
			r, err := p.PTRResource()
			if err != nil {
				return err
			}
			l, ok := instanceLabel(r.PTR.String())
			switch ttl := time.Duration(h.TTL) * time.Second; {
			case !ok:
			case !response && ttl >= lifetime/2:
				m.known = append(m.known, l)
			case response && ttl == 0:
				m.goodbyes = append(m.goodbyes, l)
			case response:
				at(l).ttl = min(ttl, lifetime)
			}
		case response && ours && h.Type == dnsmessage.TypeSRV:
			r, err := p.SRVResource()
			if err != nil {
				return err
			}
			at(l).port = r.Port
		case response && ours && h.Type == dnsmessage.TypeTXT:
			r, err := p.TXTResource()
			if err != nil {
				return err
			}
			if ids, ok := decodeTXT(r.TXT); ok {
				at(l).ids = ids
			}
		default:
			if err := p.SkipAnswer(); err != nil {
				return err
			}
		}
	}
	// An announcement is complete in one packet.
	for _, a := range found {
		if a.ttl > 0 && a.port != 0 && a.ids != nil {
			m.announcements = append(m.announcements, a)
		}
	}
	return nil
}

// instanceLabel reads LABEL._hyperlan._tcp.local.
func instanceLabel(name string) (label, bool) {
	first, rest, ok := strings.Cut(name, ".")
	if !ok || !strings.EqualFold(rest, service) {
		return label{}, false
	}
	return parseLabel(first)
}

// hostLabel reads LABEL.local.
func hostLabel(name string) (label, bool) {
	first, rest, ok := strings.Cut(name, ".")
	if !ok || !strings.EqualFold(rest, "local.") {
		return label{}, false
	}
	return parseLabel(first)
}

func (l label) instance() dnsmessage.Name {
	return dnsmessage.MustNewName(string(l[:]) + "." + service)
}
func (l label) host() dnsmessage.Name { return dnsmessage.MustNewName(string(l[:]) + ".local.") }

var serviceName = dnsmessage.MustNewName(service)

// packAnnouncement makes the packet of an announcement. addrs are for other
// software; nodes do not use them.
func packAnnouncement(a *announcement, addrs []netip.Addr) ([]byte, error) {
	header := func(name dnsmessage.Name, class dnsmessage.Class) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: name, Class: class, TTL: uint32(a.ttl / time.Second)}
	}
	b := begin(true)
	err := errors.Join(
		b.StartAnswers(),
		b.PTRResource(header(serviceName, dnsmessage.ClassINET), dnsmessage.PTRResource{PTR: a.label.instance()}),
		b.SRVResource(header(a.label.instance(), dnsmessage.ClassINET|cacheFlush), dnsmessage.SRVResource{Port: a.port, Target: a.label.host()}),
		b.TXTResource(header(a.label.instance(), dnsmessage.ClassINET|cacheFlush), dnsmessage.TXTResource{TXT: encodeTXT(a.ids)}),
	)
	for _, addr := range addrs {
		h := header(a.label.host(), dnsmessage.ClassINET|cacheFlush)
		if addr.Is4() {
			err = errors.Join(err, b.AResource(h, dnsmessage.AResource{A: addr.As4()}))
		} else {
			err = errors.Join(err, b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: addr.As16()}))
		}
	}
	return finish(b, err)
}

// packGoodbye makes the packet that takes an announcement back.
func packGoodbye(l label) ([]byte, error) {
	b := begin(true)
	return finish(b, errors.Join(
		b.StartAnswers(),
		b.PTRResource(dnsmessage.ResourceHeader{Name: serviceName, Class: dnsmessage.ClassINET}, dnsmessage.PTRResource{PTR: l.instance()}),
	))
}

// packQuestion makes the packet that asks for all announcements. known are those
// that need no answer, with the time they are still good for.
func packQuestion(known map[label]time.Duration) ([]byte, error) {
	b := begin(false)
	err := errors.Join(
		b.StartQuestions(),
		b.Question(dnsmessage.Question{Name: serviceName, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET}),
		b.StartAnswers(),
	)
	n := 0
	for l, left := range known {
		if n++; n > maxKnown {
			break
		}
		h := dnsmessage.ResourceHeader{Name: serviceName, Class: dnsmessage.ClassINET, TTL: uint32(left / time.Second)}
		err = errors.Join(err, b.PTRResource(h, dnsmessage.PTRResource{PTR: l.instance()}))
	}
	return finish(b, err)
}

func begin(response bool) *dnsmessage.Builder {
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), dnsmessage.Header{Response: response, Authoritative: response})
	b.EnableCompression()
	return &b
}

func finish(b *dnsmessage.Builder, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("lan: make packet: %w", err)
	}
	return b.Finish()
}
