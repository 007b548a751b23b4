package awsfake

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"
)

// DefaultCredential is a long-lived access key that every server without other
// credentials knows. It opens nothing anywhere else.
var DefaultCredential = Credential{
	AccessKeyID:     "AKIAAWSFAKEDEFAULT00",
	SecretAccessKey: "awsfake-default-secret-access-key-000000",
	ARN:             "arn:aws:iam::123456789012:user/awsfake",
}

// Credential is an access key.
type Credential struct {
	AccessKeyID     string
	SecretAccessKey string
	// SessionToken must come with every request that a temporary credential
	// signs; "" for a long-lived one.
	SessionToken string
	// Expires is when a temporary credential ends; zero for a long-lived one.
	Expires time.Time
	// ARN is who holds the key.
	ARN string
}

// Keyring holds the access keys that exist.
type Keyring struct {
	mu   sync.Mutex
	byID map[string]*Credential
}

func newKeyring(credentials []Credential) *Keyring {
	k := &Keyring{byID: map[string]*Credential{}}
	for _, c := range credentials {
		k.Add(c)
	}
	return k
}

// Add makes a key known, or replaces the one with the same id.
func (k *Keyring) Add(c Credential) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byID[c.AccessKeyID] = &c
}

// Remove makes a key unknown.
func (k *Keyring) Remove(accessKeyID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.byID, accessKeyID)
}

// ExpireSessions ends all temporary credentials at t, if they would have
// lasted longer.
func (k *Keyring) ExpireSessions(t time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.byID {
		if c.SessionToken != "" && c.Expires.After(t) {
			c.Expires = t
		}
	}
}

// issue makes a temporary credential.
func (k *Keyring) issue(arn string, expires time.Time) Credential {
	c := Credential{
		AccessKeyID:     "ASIA" + rand.Text()[:16],
		SecretAccessKey: rand.Text() + rand.Text()[:14],
		// Real tokens are long and of base64: with "/", "+" and "=".
		SessionToken: base64.StdEncoding.EncodeToString([]byte("\xff\xef\xbe" + rand.Text() + rand.Text() + rand.Text())),
		Expires:      expires,
		ARN:          arn,
	}
	k.Add(c)
	return c
}

// find returns a copy of a key.
func (k *Keyring) find(accessKeyID string) (Credential, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.byID[accessKeyID]
	if !ok {
		return Credential{}, false
	}
	return *c, true
}
