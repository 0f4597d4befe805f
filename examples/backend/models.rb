# frozen_string_literal: true

require "stripe"

Stripe.api_key = "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"
Stripe.api_version = "2024-06-20"

class Payment
  WEBHOOK_SECRET = ENV.fetch("STRIPE_WEBHOOK_SECRET")
  DIGEST = "sha256:d4fb23772f0dc88902da7c1a93ed91a9738beaf801a7a35fc3dcc07e62a494ee"
end
