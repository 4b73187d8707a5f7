package localcluster

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// buildProgress reads the output of "go build -v": it counts packages, keeps
// the last lines for an error message and says every so often how far it is.
type buildProgress struct {
	name string
	log  io.Writer

	mu       sync.Mutex
	packages int
	recent   []byte // bounded
}

const progressTail = 4 << 10

func newBuildProgress(name string, log io.Writer) *buildProgress {
	return &buildProgress{name: name, log: log}
}

// Write implements io.Writer for the compiler's output.
func (p *buildProgress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packages += bytes.Count(b, []byte{'\n'})
	p.recent = append(p.recent, b...)
	if extra := len(p.recent) - progressTail; extra > 0 {
		p.recent = append([]byte(nil), p.recent[extra:]...)
	}
	return len(b), nil
}

func (p *buildProgress) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.recent)
}

// report prints a line at every interval until the returned function is
// called.
func (p *buildProgress) report(every time.Duration) (stop func()) {
	done := make(chan struct{})
	var finished sync.WaitGroup
	started := time.Now()
	finished.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p.mu.Lock()
				n := p.packages
				p.mu.Unlock()
				_, _ = fmt.Fprintf(p.log, "%s: %s, %d packages compiled\n", p.name, time.Since(started).Round(time.Second), n)
			}
		}
	})
	return func() {
		close(done)
		finished.Wait()
	}
}
