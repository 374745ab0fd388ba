"""How a serializer of itsdangerous signs, which a subclass may give us as Quart's users do."""

from typing import Any

from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from asgi_flask_session.errors import SettingsError


def signing_of(serializer: Any) -> dict[str, Any]:
    """Return how a serializer of itsdangerous signs; raises SettingsError for one that does more than that."""
    signing = {
        "key_derivation": TimestampSigner.default_key_derivation,
        "digest_method": TimestampSigner.default_digest_method,
        **getattr(serializer, "signer_kwargs", {}),
    }
    if (
        type(serializer) is not URLSafeTimedSerializer
        or serializer.signer is not TimestampSigner
        or serializer.serializer_kwargs
        or serializer.fallback_signers
        or len(signing) > 2
    ):
        raise SettingsError(
            f"get_signing_serializer returns a {type(serializer).__name__} that signs in a way of its own: return a"
            " URLSafeTimedSerializer with keys, salt, serializer, key_derivation and digest_method"
        )
    return {
        "keys": serializer.secret_keys, "salt": serializer.salt, "serializer": serializer.serializer, **signing,
    }  # fmt: skip
