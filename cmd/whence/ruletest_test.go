package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAFolderThatCantBeReadIsLeftOutAndNamed(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a", "locked"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name, "own_test.yaml"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var files []string
	var left error
	visit := collecting(&files, root, true, func(err error) { left = err })
	err := filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if filepath.Base(at) == "locked" { // whoever may read everything can't lock it
			err = &fs.PathError{Op: "open", Path: at, Err: fs.ErrPermission}
		}
		return visit(at, entry, err)
	})
	if err != nil || !slices.Equal(files, []string{filepath.Join(root, "a", "own_test.yaml")}) || !errors.Is(left, fs.ErrPermission) {
		t.Errorf("%v, %v, left out %v", files, err, left)
	}
	if err := visit(root, nil, fs.ErrPermission); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the folder that was asked for: %v", err)
	}
}
