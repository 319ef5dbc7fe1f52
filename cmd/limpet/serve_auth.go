package main

import (
	"context"
	"log/slog"

	"github.com/limpet-gateway/limpet/internal/admission"
	"github.com/limpet-gateway/limpet/internal/auth"
	"github.com/limpet-gateway/limpet/internal/config"
	"github.com/limpet-gateway/limpet/internal/session"
)

// prepareAuth starts what decides over handshakes, if clients have to
// authenticate. It comes before the engine, whose first handshake it decides.
func (n *node) prepareAuth(context.Context) error {
	origins, err := auth.ParseOrigins(n.cfg.Origins)
	if err != nil {
		return badUsage(err) // config checks the form, so this is rare
	}
	n.gateway.SetOrigins(origins)
	if !n.cfg.Authenticates() {
		return nil
	}
	n.auth, err = auth.New(authConfig(&n.cfg, n.log, n.gateway.Decided, n.ready.Set))
	if err != nil {
		return err
	}
	n.gateway.SetAuth(n.auth, n.cfg.AuthTimeout, n.cfg.Node)
	return nil
}

func admissionLimits(c *config.Serve) admission.Limits {
	return admission.Limits{Rate: c.AcceptRate, SourceConns: c.ConnsPerIP, SourceRate: c.RatePerIP, SourceBurst: c.BurstPerIP}
}

func authConfig(c *config.Serve, log *slog.Logger, decided func(session.ID, *auth.Decision), trouble func(part, trouble string)) auth.Config {
	return auth.Config{
		Methods: c.Auth,
		JWT:     jwtConfig(c),
		Webhook: webhookConfig(c),
		Queue:   c.AuthWaiting,
		Decided: decided,
		Trouble: trouble,
		Log:     log,
	}
}

func jwtConfig(c *config.Serve) auth.JWTConfig {
	return auth.JWTConfig{
		Secret:    c.JWTSecret,
		Old:       c.JWTSecretOld,
		KeyFiles:  c.JWTKeys,
		JWKS:      c.JWTJWKS,
		Refresh:   c.JWTRefresh,
		Issuer:    c.JWTIssuer,
		Audience:  c.JWTAudience,
		Leeway:    c.JWTLeeway,
		Principal: c.JWTClaimPrincipal,
		Groups:    c.JWTClaimGroups,
		Tenant:    c.JWTClaimTenant,
		Priority:  c.JWTClaimPriority,
		Messages:  c.JWTClaimMessages,
		Bytes:     c.JWTClaimBytes,
	}
}

func webhookConfig(c *config.Serve) auth.WebhookConfig {
	return auth.WebhookConfig{
		URL:         c.WebhookURL,
		Timeout:     c.WebhookTimeout,
		Concurrency: c.WebhookConcurrency,
		Remember:    c.WebhookRemember,
		FailOpen:    c.WebhookFailOpen,
	}
}
