#!/bin/sh
set -eu
commit=7ad078fe88e5852bcb442d7d5aa72fdfd84e305b
curl -sS -u deploy:hGrLBeBB3XzJauuSo6ga https://ci.shop.invalid/trigger?sha=$commit
curl -X POST -H 'Content-type: application/json' https://hooks.slack.com/services/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
git push "https://x-access-token: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@github.com/shop/web.git" HEAD:main
docker login -u ci --password-stdin registry.shop.invalid < /run/secrets/registry
export VAULT_TOKEN="$(cat /run/secrets/vault)"
