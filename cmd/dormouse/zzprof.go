package main

import (
	"os"
	"runtime/pprof"
	"time"
)

func init() {
	if f := os.Getenv("ZZPROF"); f != "" {
		go func() {
			time.Sleep(6 * time.Second)
			w, _ := os.Create(f)
			pprof.StartCPUProfile(w)
			time.Sleep(5 * time.Second)
			pprof.StopCPUProfile()
			w.Close()
		}()
	}
}
