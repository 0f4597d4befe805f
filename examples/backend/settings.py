"""Settings of a web shop that does not exist. Every secret in this folder is made up."""

import os

DEBUG = False
ALLOWED_HOSTS = ["shop.invalid"]
SECRET_KEY = "ENFvf53z5K2NSoOsCDkItEj421iMm0VDcUVNUQVRxO82p45EML"

AWS_ACCESS_KEY_ID = "AKIAMEGSPWB5DSPBHW62"
AWS_SECRET_ACCESS_KEY = "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"
AWS_STORAGE_BUCKET_NAME = "shop-media-eu-central-1"

# taken from the environment: nothing to find
STRIPE_SECRET_KEY = os.environ["STRIPE_SECRET_KEY"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "PASSWORD": os.environ.get("DB_PASSWORD", ""),
    }
}
CACHE_URL = "redis://:lAelR2i5wsQ8pwfLFXZZ4eEF@cache.shop.invalid:6379/1"
