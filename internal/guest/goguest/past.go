package goguest

import (
	"context"
	"errors"

	"github.com/dormouse-dev/dormouse/internal/author"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// remembered is the answer to a question about an object's history.
type remembered struct {
	bookmark string
	err      error
}

var pastQuestions = map[author.PastKind]guest.PastQuestion{
	author.BookmarkOfNow:  guest.BookmarkOfNow,
	author.BookmarkOfTime: guest.BookmarkOfTime,
	author.RestoreNext:    guest.RestoreNext,
}

// Past implements author.Instance. The question leaves behind everything that was
// committed, so what is asked of now has it.
func (i *instance) Past(ctx context.Context, q author.PastQuestion) (string, error) {
	if err := i.Storage().Sync(ctx); err != nil {
		return "", err
	}
	i.mu.Lock()
	if i.dead != nil {
		defer i.mu.Unlock()
		return "", i.dead
	}
	i.question++
	n, answer := i.question, make(chan remembered, 1)
	if i.asked == nil {
		i.asked = make(map[uint32]chan<- remembered)
	}
	i.asked[n] = answer
	i.outLocked().later(func() { i.g.host.AskPast(i.g, i.num, n, pastQuestions[q.What], q.Time, q.Bookmark) })
	i.handOverLocked()
	i.unlockToWait()
	select {
	case a := <-answer:
		return a.bookmark, a.err
	case <-ctx.Done():
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.asked, n)
	return "", context.Cause(ctx)
}

// remember gives an answer to who has asked, if they still wait. On the loop.
func (i *instance) remember(question uint32, ok bool, text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	answer := i.asked[question]
	if answer == nil {
		return
	}
	delete(i.asked, question)
	if ok {
		answer <- remembered{bookmark: text}
	} else {
		answer <- remembered{err: errors.New(text)}
	}
}

// failAskedLocked: nobody will answer any more, for the instance has ended.
func (i *instance) failAskedLocked() {
	for n, answer := range i.asked {
		delete(i.asked, n)
		answer <- remembered{err: i.dead}
	}
}
