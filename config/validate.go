package config

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-playground/validator/v10"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A wrong is one mistake in one field.
type wrong struct{ path, what string }

func (w wrong) Error() string { return w.path + ": " + w.what }

// Validate returns everything that is wrong with c, each with the path of its field and the remedy.
func (c Config) Validate() []error {
	var all []error
	for _, w := range c.wrongs() {
		all = append(all, w)
	}
	return all
}

func (c Config) wrongs() []wrong {
	var all []wrong
	if err := structs.Struct(c); err != nil {
		//nolint:errorlint // Struct of a struct returns nothing else.
		for _, field := range err.(validator.ValidationErrors) {
			all = append(all, wrong{pathOf(field), remedy(field)})
		}
	}
	return append(all, c.acrossFields()...)
}

// acrossFields checks the rules that concern more than one field.
func (c Config) acrossFields() []wrong {
	var all []wrong
	if c.Webhook.WriteTimeout.Duration >= c.Webhook.Timeout.Duration {
		all = append(all, wrong{"webhook.writeTimeout", fmt.Sprintf(
			"%s is not shorter than webhook.timeout (%s), so the answer would come too late: write a shorter one",
			c.Webhook.WriteTimeout.Duration, c.Webhook.Timeout.Duration)})
	}
	for n, signal := range c.Inference.Signals {
		all = append(all, marksWrong(fmt.Sprintf("inference.signals[%d]", n), signal)...)
	}
	for n, signal := range c.Inference.OwnerSignals {
		if err := signal.Check(); err != nil {
			all = append(all, wrong{fmt.Sprintf("inference.ownerSignals[%d]", n), err.Error()})
		}
	}
	if len(c.Webhook.ClientNames) > 0 && c.Webhook.ClientCA == "" {
		all = append(all, wrong{"webhook.clientNames",
			"names callers, but nothing says whose certificates to believe: set webhook.clientCA"})
	}
	seen := map[string]int{}
	for n, r := range c.Webhook.Rules {
		first, twice := seen[r.Name]
		if twice && r.Name != "" {
			all = append(all, wrong{fmt.Sprintf("webhook.rules[%d].name", n),
				fmt.Sprintf(
					"%q is also the name of webhook.rules[%d]: give each rule a name of its own",
					r.Name, first)})
			continue
		}
		seen[r.Name] = n
	}
	return slices.Concat(all, c.Agent.wrongs(), c.Audit.wrongs(), c.Netconsole.wrongs(),
		c.Archive.wrongs())
}

// marksWrong checks the marks of a signal, whose fields must go together.
func marksWrong(path string, s reason.Signal) []wrong {
	var all []wrong
	check := func(at string, m reason.Mark) {
		if err := m.Check(); err != nil {
			all = append(all, wrong{path + "." + at, err.Error()})
		}
	}
	check("mark", s.Mark)
	for n, m := range s.With {
		check(fmt.Sprintf("with[%d]", n), m)
	}
	for n, m := range s.Without {
		check(fmt.Sprintf("without[%d]", n), m)
	}
	return all
}

var structs = newValidator()

func newValidator() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	v.RegisterCustomTypeFunc(func(d reflect.Value) any {
		return d.Interface().(metav1.Duration).Duration
	}, metav1.Duration{})
	checks := map[string]validator.Func{
		"annotationkey": func(f validator.FieldLevel) bool {
			return len(validation.IsQualifiedName(strings.ToLower(f.Field().String()))) == 0
		},
		"labelkey": func(f validator.FieldLevel) bool {
			return len(validation.IsQualifiedName(f.Field().String())) == 0
		},
		"hostport": func(f validator.FieldLevel) bool { return isHostPort(f.Field().String()) },
		"nodecode": func(f validator.FieldLevel) bool {
			return reason.Code(f.Field().String()).OfNodes()
		},
		"anycode": func(f validator.FieldLevel) bool {
			return reason.Code(f.Field().String()).Known()
		},
		"dnsname": func(f validator.FieldLevel) bool {
			return len(validation.IsDNS1123Subdomain(f.Field().String())) == 0
		},
		"dnslabel": func(f validator.FieldLevel) bool {
			return len(validation.IsDNS1123Label(f.Field().String())) == 0
		},
		"mindur": func(f validator.FieldLevel) bool {
			return time.Duration(f.Field().Int()) >= duration(f.Param())
		},
		"maxdur": func(f validator.FieldLevel) bool {
			return time.Duration(f.Field().Int()) <= duration(f.Param())
		},
	}
	for tag, check := range checks {
		if err := v.RegisterValidation(tag, check); err != nil {
			// a programmer's error, found by any test of this package
			panic(fmt.Sprintf("register the check %s: %v", tag, err))
		}
	}
	return v
}

func duration(param string) time.Duration {
	d, err := time.ParseDuration(param)
	if err != nil {
		// a programmer's error in a struct tag
		panic(fmt.Sprintf("parse the bound of a duration: %v", err))
	}
	return d
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535 && (host == "" || net.ParseIP(host) != nil ||
		len(validation.IsDNS1123Subdomain(host)) == 0)
}

// pathOf returns the path of a field as written in the file.
func pathOf(f validator.FieldError) string {
	_, path, _ := strings.Cut(f.Namespace(), ".")
	return path
}

// remedy says what to write instead.
func remedy(f validator.FieldError) string {
	is := fmt.Sprintf("%q", fmt.Sprint(f.Value()))
	switch f.Tag() {
	case "required":
		return "is missing: set it"
	case "eq":
		return fmt.Sprintf("is %s: write %s", is, f.Param())
	case "oneof":
		return fmt.Sprintf("is %s: write one of %s", is, strings.ReplaceAll(f.Param(), " ", ", "))
	case "min", "mindur":
		return fmt.Sprintf("is %s: write at least %s", is, f.Param())
	case "max", "maxdur":
		return fmt.Sprintf("is %s: write at most %s", is, f.Param())
	case "hostport":
		return fmt.Sprintf("is %s: write host:port or :port, for example :8080", is)
	case "startswith":
		return fmt.Sprintf("is %s: write an absolute path", is)
	case "excludesall":
		return fmt.Sprintf("is %s: write the name of a file, without a directory", is)
	case "annotationkey":
		return fmt.Sprintf(
			"is %s: write the key of an annotation, for example example.com/termination-reason", is)
	case "nodecode":
		return fmt.Sprintf("is %s: write the code of a disruption of nodes, for example %s", is,
			reason.HardwareFailure)
	case "anycode":
		return fmt.Sprintf("is %s: write a code that a pod can leave with, for example %s", is,
			reason.UserRequest)
	case "dnslabel":
		return fmt.Sprintf("is %s: write a DNS label (lower-case letters, digits, -)", is)
	case "dnsname":
		return fmt.Sprintf(
			"is %s: write the name of an object (lower-case letters, digits, - and .)", is)
	case "nefield":
		return fmt.Sprintf(
			"is %s, which another field of this group is too: each annotation needs a key of its own", is)
	default:
		return fmt.Sprintf("is %s: does not satisfy %s %s", is, f.Tag(), f.Param())
	}
}
