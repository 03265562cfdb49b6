"""From a bundle to something other people use.

`page.py` serves a web page where one drops a photo and reads its label. Read next: `page.py`.
"""
