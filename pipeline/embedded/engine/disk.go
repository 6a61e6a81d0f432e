package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"sync/atomic"
	"syscall"
	"time"
)

// room is what must be left on the disk. The library reserves space before it writes,
// by a look at the disk; when others take that space meanwhile, its writes fail
// without a word, and what an insert or a merge leaves is a part of empty files. Who
// inserts is told, and sends it again. What a merge has spoiled only a start makes
// good, from the parts that went into it.
const room = 16 << 20

// roomForMerges is what must be left before an insert begins: the last bytes are for
// merges, which make space in the end.
const roomForMerges = 64 << 20

// What was merged has to be there still when the engine is started for it. The
// library removes it within seconds of its own accord, and a server after eight
// minutes. That long it is a burden with many small inserts, so it is a minute, and
// the disk is looked at often.
const (
	sourcesStay = time.Minute
	partsEvery  = 5 * time.Second
	diskEvery   = 100 * time.Millisecond
)

// disk is what the data is on. It is watched, because the library does not say that
// it could not write.
type disk struct {
	data  string
	began bool                   // full, in this life of the engine: then nothing is merged
	full  atomic.Bool            // seen about full in this life, so that nothing that was written is believed
	known map[string]fs.FileInfo // checksums of parts that were spoiled before this life
}

// newDisk is what an engine is about to be started on. What is spoiled before that and
// stays in its place no start makes good; what a start repairs leaves its place.
func newDisk(data string) *disk {
	d := &disk{data: data, known: map[string]fs.FileInfo{}}
	for part, checksums := range d.empty {
		d.known[part] = checksums
	}
	d.look()
	d.began = d.full.Load()
	return d
}

// look says how many bytes are left, where anybody can say.
func (d *disk) look() (left uint64, ok bool) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(d.data, &stat); err != nil {
		return 0, false
	}
	if left = uint64(stat.Bavail) * uint64(stat.Bsize); left < room {
		d.full.Store(true)
	}
	return left, true
}

// believed returns an error where what the library acknowledges may have left
// something out. Of a definition it is asked before, too: a start removes the table
// of an empty one.
func (d *disk) believed() error {
	left, _ := d.look()
	if !d.full.Load() {
		return nil
	}
	return fail(codeNotEnoughSpace, "NOT_ENOUGH_SPACE",
		"The disk is or was about full, %d bytes are left: what is written may be incomplete", left)
}

// errFull and errRoom end a life of the engine: the one that did not know of the full
// disk, and the one that has merged nothing because of it. A start compares the size
// of every file with what was to be in it.
var (
	errFull = errors.New("the disk is full: a start makes good what could not be merged, and merges nothing until there is room")
	errRoom = errors.New("the disk has room again: a start merges again")
)

// watchSpace returns an error once the engine has to be started anew because of what
// is left on the disk.
func (d *disk) watchSpace(ctx context.Context) error {
	for range ticks(ctx, diskEvery) {
		switch left, ok := d.look(); {
		case !d.began && d.full.Load():
			return errFull
		case d.began && ok && left >= roomForMerges:
			return errRoom
		}
	}
	return nil
}

// watchParts returns an error once a part is seen to be spoiled, and at once: its
// sources stay for so long only. What a start has left in place no start repairs,
// such as a part of a table that is detached for good.
func (d *disk) watchParts(ctx context.Context) error {
	for range ticks(ctx, partsEvery) {
		if part := d.spoiled(); part != "" {
			return fmt.Errorf("%s is empty, as a full disk leaves what is written: a start takes again what it was merged from", part)
		}
	}
	return nil
}

// ticks come until ctx is done.
func ticks(ctx context.Context, every time.Duration) func(yield func() bool) {
	return func(yield func() bool) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if !yield() {
					return
				}
			}
		}
	}
}

// whole is whether a clean end may remove, as it does, all that was merged.
func (d *disk) whole() bool {
	left, ok := d.look()
	return (!ok || left >= roomForMerges) && !d.full.Load() && d.spoiled() == ""
}

// spoiled is the folder of a part that was spoiled in this life. What a start has
// repaired may be merged again, to a part of the same name.
func (d *disk) spoiled() string {
	for part, checksums := range d.empty {
		if known, ok := d.known[part]; !ok || !os.SameFile(known, checksums) {
			return part
		}
	}
	return ""
}

// partName is the name of a part that is in its place: partition, first and last
// block, level and mutation. Folders on their way have more before it.
var partName = regexp.MustCompile(`^[^_]+_\d+_\d+_\d+(_\d+)?$`)

// empty yields the folders of parts whose checksums are empty, with these: they are
// written last, and no other part lacks them.
func (d *disk) empty(yield func(part string, checksums fs.FileInfo) bool) {
	data := os.DirFS(d.data)
	tables, _ := fs.Glob(data, "store/*/*") // the pattern is right
	for _, table := range tables {
		parts, err := fs.ReadDir(data, table)
		if err != nil {
			continue // dropped meanwhile
		}
		for _, part := range parts {
			if !partName.MatchString(part.Name()) {
				continue
			}
			dir := path.Join(table, part.Name())
			if info, err := fs.Stat(data, dir+"/checksums.txt"); err == nil && info.Size() == 0 && !yield(dir, info) {
				return
			}
		}
	}
}
