package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Algorithms that are accepted, by their names in RFC 7518 and RFC 8037.
const (
	algHS256 = "HS256"
	algRS256 = "RS256"
	algES256 = "ES256"
	algEdDSA = "EdDSA"
)

// Sizes: RFC 7518 section 3.2 wants a secret at least as long as the hash, and
// section 3.3 a modulus of at least 2048 bits. The most is ours: a check takes the
// square of the length, and minutes for a modulus that fills a key set.
const (
	MinSecretBytes = 32
	minRSABits     = 2048
	maxRSABits     = 16384
	maxKeys        = 64 // of one file or key set
)

var (
	errWeakKey  = fmt.Errorf("an RSA key has less than %d bits", minRSABits)
	errLongKey  = fmt.Errorf("an RSA key has more than %d bits", maxRSABits)
	errKeyKind  = errors.New("not a public key for RS256, ES256 or EdDSA")
	errNoKeyPEM = errors.New("no PEM block with a public key or a certificate")
)

// publicKeys sorts keys by the one algorithm that each may verify. A token
// names its algorithm itself, and must not choose how a key is used: taking
// the bytes of an RSA key for an HMAC secret is the classic confusion. Here an
// algorithm finds keys of its own kind or none.
type publicKeys struct {
	rs256, es256, eddsa []crypto.PublicKey
}

func (k *publicKeys) add(key crypto.PublicKey) error {
	switch pub := key.(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < minRSABits {
			return errWeakKey
		}
		if pub.N.BitLen() > maxRSABits {
			return errLongKey
		}
		k.rs256 = append(k.rs256, pub)
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() { // ES256 is P-256 alone (RFC 7518 section 3.4)
			return errKeyKind
		}
		k.es256 = append(k.es256, pub)
	case ed25519.PublicKey:
		k.eddsa = append(k.eddsa, pub)
	default:
		return errKeyKind
	}
	return nil
}

func (k *publicKeys) of(alg string) []crypto.PublicKey {
	switch alg {
	case algRS256:
		return k.rs256
	case algES256:
		return k.es256
	case algEdDSA:
		return k.eddsa
	}
	return nil
}

// parsePEM adds every public key and certificate of a PEM file. A private key
// is refused: it has no place on a gateway.
func (k *publicKeys) parsePEM(data []byte) error {
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if n++; n > maxKeys {
			return fmt.Errorf("more than %d keys", maxKeys)
		}
		key, err := publicKeyIn(block)
		if err != nil {
			return err
		}
		if err := k.add(key); err != nil {
			return err
		}
	}
	if n == 0 {
		return errNoKeyPEM
	}
	return nil
}

// publicKeyIn gives no details of a block that cannot be parsed: it may be a
// secret.
func publicKeyIn(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errKeyKind
		}
		return key, nil
	case "RSA PUBLIC KEY":
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, errKeyKind
		}
		return key, nil
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errKeyKind
		}
		return cert.PublicKey, nil
	default:
		return nil, fmt.Errorf("a PEM block is a %q: want PUBLIC KEY or CERTIFICATE", block.Type)
	}
}
