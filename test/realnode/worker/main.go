// Command worker is the program of the tests' images: it does what a container is to do, and
// nothing else.
//
//	worker [-say TEXT] [-write FILE] [-for DURATION] [-exit CODE] [-term-after DURATION] [-term-exit CODE]
//
// Without -for it goes on until SIGTERM; it then takes as long as -term-after says, and ends with
// -term-exit. As process 1 of a pod's sandbox ("pause") it is started without arguments, and waits.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	say := flag.String("say", "", "the `text` to print first")
	write := flag.String("write", "", "a `file` to write; it is over when that has come about")
	last := flag.Duration("for", 0, "how long to go on; 0 is until SIGTERM")
	exit := flag.Int("exit", 0, "the exit `code` when it is over")
	after := flag.Duration("term-after", 0, "how long to take over SIGTERM")
	termExit := flag.Int("term-exit", 128+int(syscall.SIGTERM), "the exit `code` after SIGTERM")
	flag.Parse()
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	if *say != "" {
		fmt.Println(*say)
	}
	if *write != "" {
		for os.WriteFile(*write, nil, 0o644) != nil {
			time.Sleep(100 * time.Millisecond)
		}
		os.Exit(*exit)
	}
	var over <-chan time.Time
	if *last > 0 {
		over = time.After(*last)
	}
	select {
	case <-over:
		os.Exit(*exit)
	case <-told:
		time.Sleep(*after)
		os.Exit(*termExit)
	}
}
