"""The script that Streamlit serves, in a folder of its own.

Beside a folder `pages` Streamlit would take each file of that folder for a page, until the first run of this script
says otherwise: the first visitor of a server who came by a deep link would see an empty page.
"""
