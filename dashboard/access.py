"""Who may see the pages: whoever reaches them, or, where a password is set, whoever has said it once."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from typing import TYPE_CHECKING, Final

import streamlit as st

if TYPE_CHECKING:
    from kernel.base.settings import Settings

WRONG_SECONDS: Final = 1.0
"""How long the answer to a wrong password takes, s."""

_ENTERED: Final = "password that was said"


def is_for_this_machine(host: str | None = None) -> bool:
    """Whether the dashboard listens at this machine alone.

    Args:
        host: where it listens; None for where this server does.
    """
    address = st.get_option("server.address") if host is None else host
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def admits(settings: Settings) -> bool:
    """Whether this visitor may see the pages: always where no password is set."""
    wanted = _wanted(settings)
    return wanted is None or hmac.compare_digest(wanted, st.session_state.get(_ENTERED, b""))


def ask(settings: Settings) -> None:
    """Ask for the password; the page is drawn again once it was said."""
    wanted = _wanted(settings)
    if wanted is None:
        return
    with st.form("password", width=400):
        said = st.text_input("Password", type="password")
        if st.form_submit_button("Enter") and said:
            if hmac.compare_digest(wanted, _digest(said)):
                st.session_state[_ENTERED] = wanted
                st.rerun()
            time.sleep(WRONG_SECONDS)
            st.error("That is not the password.")


def _wanted(settings: Settings) -> bytes | None:
    secret = settings.dashboard_password
    return None if secret is None else _digest(secret.get_secret_value())


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode()).digest()
