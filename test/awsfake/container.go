package awsfake

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Container configures the credential endpoint that ECS and EKS Pod Identity
// offer to a container.
type Container struct {
	// Role is the name of the task's or pod's role; "" answers 404.
	Role string `json:"role"`
	// Token must be in the Authorization header if it is not "". Pod Identity
	// asks for one, and it changes now and then.
	Token string `json:"token"`
}

// ContainerCredentials is the endpoint itself: /v1/credentials as Pod Identity
// has it, /v2/credentials/<id> as ECS has it.
type ContainerCredentials struct {
	account string
	keys    *Keyring

	mu     sync.Mutex
	config Container
}

func newContainerCredentials(config Container, account string, keys *Keyring) *ContainerCredentials {
	return &ContainerCredentials{account: account, keys: keys, config: config}
}

// Set changes role and token.
func (c *ContainerCredentials) Set(config Container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config = config
}

func (c *ContainerCredentials) name() string { return "container" }

func (c *ContainerCredentials) operation(r *http.Request, _ []byte) (string, bool) {
	ok := r.URL.Path == "/v1/credentials" || strings.HasPrefix(r.URL.Path, "/v2/credentials/")
	return "GetCredentials", ok && r.Method == http.MethodGet
}

func (c *ContainerCredentials) scope(string) string { return "" }

func (c *ContainerCredentials) refusal(e *apiError) answer {
	h := e.headers()
	h.Set("Content-Type", "application/json")
	return answer{
		status: e.status, header: h, code: e.shape,
		body: encodeJSON(map[string]string{"code": e.shape, "message": e.message}),
	}
}

func (c *ContainerCredentials) serve(q *call) answer {
	c.mu.Lock()
	config := c.config
	c.mu.Unlock()
	switch {
	case config.Role == "":
		return c.refusal(&apiError{status: http.StatusNotFound, shape: "ResourceNotFoundException", message: "no role is associated with this container"})
	case config.Token != "" && q.r.Header.Get("Authorization") != config.Token:
		return c.refusal(&apiError{status: http.StatusUnauthorized, shape: "InvalidTokenException", message: "the authorization token is not valid"})
	}
	key := c.keys.issue("arn:aws:sts::"+c.account+":assumed-role/"+config.Role+"/container", q.now.Add(roleLifetime))
	return answer{
		status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}},
		body: encodeJSON(map[string]string{
			"RoleArn": "arn:aws:iam::" + c.account + ":role/" + config.Role, "AccountId": c.account,
			"AccessKeyId": key.AccessKeyID, "SecretAccessKey": key.SecretAccessKey,
			"Token": key.SessionToken, "Expiration": key.Expires.UTC().Format(time.RFC3339),
		}),
	}
}
