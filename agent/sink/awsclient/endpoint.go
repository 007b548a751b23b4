package awsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/enawatch/enawatch/agent/pattern"
	"github.com/enawatch/enawatch/agent/sink"
)

// Service is a service of AWS that is called without the SDK's client for it.
type Service struct {
	// ID is what the SDK calls the service ("CloudWatch Logs"): the environment
	// names its endpoint by that.
	ID string
	// Host is the first part of its name in each region ("logs").
	Host string
	// PlainInGov says that its FIPS endpoints in GovCloud are the plain ones.
	PlainInGov bool
}

// URL returns where the service is, as the SDK's client would find it: at endpoint
// if that is not empty; where the environment or the shared configuration file
// says, for this service (AWS_ENDPOINT_URL_...) or for all; or at the region's own.
func (s Service) URL(ctx context.Context, cfg aws.Config, endpoint string) (string, *sink.Error) {
	o := Options{
		Endpoint:  cmp.Or(endpoint, s.configured(ctx, cfg)),
		FIPS:      setting(ctx, cfg, fipsSource.GetUseFIPSEndpoint) == aws.FIPSEndpointStateEnabled,
		DualStack: setting(ctx, cfg, dualStackSource.GetUseDualStackEndpoint) == aws.DualStackEndpointStateEnabled,
	}
	if err := o.checkEndpoint(); err != nil {
		return "", &sink.Error{Kind: sink.Credentials, Err: err, Remedy: "look at AWS_ENDPOINT_URL, AWS_USE_FIPS_ENDPOINT and their like, in the environment and in the AWS configuration file"}
	}
	if u, err := url.Parse(o.Endpoint); err == nil && o.Endpoint != "" {
		u.Path = cmp.Or(u.Path, "/")
		return u.String(), nil
	}
	own, err := s.regional(ctx, cfg.Region, o.FIPS, o.DualStack)
	if err != nil {
		return "", &sink.Error{Kind: sink.Credentials, Err: fmt.Errorf("find %s in region %.40q: %w", s.ID, cfg.Region, err), Remedy: "look at the region, or give an endpoint"}
	}
	return own, nil
}

// regionName is the form of a region's name, as a part of a host's.
var regionName = pattern.New(`^[A-Za-z0-9-]{1,63}$`)

// regional returns the region's own endpoint. It is that of STS but for the first
// word, in every partition, with FIPS and dual stack or without: STS is in the
// program in any case, and the SDK has no table of partitions for others to use.
func (s Service) regional(ctx context.Context, region string, fips, dualStack bool) (string, error) {
	if !regionName().MatchString(region) {
		return "", errors.New("a region has letters, digits and hyphens")
	}
	of, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: &dualStack})
	if err != nil {
		return "", err
	}
	rest := strings.TrimPrefix(of.URI.Host, "sts")
	if s.PlainInGov && strings.HasPrefix(region, "us-gov-") {
		rest = strings.TrimPrefix(rest, "-fips")
	}
	return of.URI.Scheme + "://" + s.Host + rest + "/", nil
}

// configured returns the endpoint that the environment and the shared
// configuration file name, or "". That of all services is in the configuration
// already; in the environment it wins over one of the file, whosever that is
// (resolveBaseEndpoint in the SDK's clients).
func (s Service) configured(ctx context.Context, cfg aws.Config) string {
	all := aws.ToString(cfg.BaseEndpoint)
	_, inEnvironment := os.LookupEnv("AWS_ENDPOINT_URL")
	_, ownInEnvironment := os.LookupEnv("AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(s.ID, " ", "_")))
	if inEnvironment && !ownInEnvironment || setting(ctx, cfg, ignoreSource.GetIgnoreConfiguredEndpoints) {
		return all
	}
	own := setting(ctx, cfg, func(p endpointSource, ctx context.Context) (string, bool, error) {
		return p.GetServiceBaseEndpoint(ctx, s.ID)
	})
	return cmp.Or(own, all)
}

// Sources of a configuration that know of endpoints (package configsources, which
// is the SDK's own).
type (
	fipsSource interface {
		GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
	}
	dualStackSource interface {
		GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
	}
	ignoreSource interface {
		GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
	}
	endpointSource interface {
		GetServiceBaseEndpoint(ctx context.Context, id string) (string, bool, error)
	}
)

// setting returns what the first source says that says anything.
func setting[Source, Value any](ctx context.Context, cfg aws.Config, ask func(Source, context.Context) (Value, bool, error)) (value Value) {
	for _, s := range cfg.ConfigSources {
		if source, ok := s.(Source); ok {
			if v, found, err := ask(source, ctx); found && err == nil {
				return v
			}
		}
	}
	return value
}
