// Command awsfake runs the stand-in for AWS, for tests that drive the real
// enawatch binary.
//
//	go run ./test/awsfake/cmd/awsfake --listen 127.0.0.1:0 --control 127.0.0.1:0
//
// It prints the endpoint of the services on its first line and that of the
// control API (see awsfake.Server.ServeControl) on the second, and runs until
// SIGINT or SIGTERM.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/enawatch/enawatch/test/awsfake"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if err := run(os.Args[1:], os.Stdout, stop); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "awsfake:", err)
		}
		os.Exit(2)
	}
}

// run serves until something comes from stop.
func run(args []string, out io.Writer, stop <-chan os.Signal) error {
	var o awsfake.Options
	flags := flag.NewFlagSet("awsfake", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "IP address and port of the services")
	control := flags.String("control", "127.0.0.1:0", "address of the control API, which also answers while the services refuse connections")
	ca := flags.String("ca", "", "with --tls, file to write the certificate of the CA to")
	flags.BoolVar(&o.TLS, "tls", false, "serve HTTPS")
	flags.StringVar(&o.Region, "region", "us-east-1", "the region that requests must be signed for")
	flags.StringVar(&o.Account, "account", "123456789012", "the account id")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of faults that are drawn at random")
	flags.DurationVar(&o.OutOfOrderWindow, "out-of-order-window", 0, "of remote write; 0 is AMP's default, negative is none")
	key := awsfake.DefaultCredential
	flags.StringVar(&key.AccessKeyID, "access-key-id", key.AccessKeyID, "the access key that exists from the start")
	flags.StringVar(&key.SecretAccessKey, "secret-access-key", key.SecretAccessKey, "its secret")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *ca != "" && !o.TLS {
		return errors.New("--ca needs --tls")
	}
	o.Credentials = []awsfake.Credential{key}

	s, err := awsfake.New(o)
	if err != nil {
		return err
	}
	if err := s.Listen(*listen); err != nil {
		return err
	}
	defer s.Close()
	if *ca != "" {
		if err := os.WriteFile(*ca, s.CA.PEM, 0o644); err != nil {
			return fmt.Errorf("writing the CA's certificate: %w", err)
		}
	}
	l, err := net.Listen("tcp", *control)
	if err != nil {
		return fmt.Errorf("listening for the control API: %w", err)
	}
	c := &http.Server{Handler: http.HandlerFunc(s.ServeControl)}
	go c.Serve(l)
	defer c.Close()
	fmt.Fprintln(out, s.URL())
	fmt.Fprintln(out, "http://"+l.Addr().String())
	<-stop
	return nil
}
