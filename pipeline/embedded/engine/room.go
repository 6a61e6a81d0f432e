package engine

import "syscall"

// room is what must be left on the disk after an insert for it to be
// acknowledged. The library reserves space before it writes, by a look at the
// disk; when others take that space meanwhile, its writes fail without a word,
// and a part of empty files is acknowledged, which the next start puts aside.
const room = 16 << 20

// roomForMerges is what must be left on the disk before an insert for it to
// begin. A merge that finds no space spoils its part, and nobody sends it again:
// so the last bytes are for merges, which make space in the end.
const roomForMerges = 64 << 20

// believed returns an error where an insert that the library has acknowledged
// may have left something out.
func (s *server) believed() error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.data, &disk); err != nil {
		return nil // nobody can say
	}
	if left := uint64(disk.Bavail) * uint64(disk.Bsize); left < room {
		return fail(codeNotEnoughSpace, "NOT_ENOUGH_SPACE", "Only %d bytes are left on the disk: what was inserted may be incomplete", left)
	}
	return nil
}
