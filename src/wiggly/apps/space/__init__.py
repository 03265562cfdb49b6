"""A model as a Hugging Face Space: a locked folder, pushed, started, and asked for worked examples.

`folder.py` says what is in it, `push.py` sends it, `live.py` asks it. `app.py` is the program that runs
there, on ONNX Runtime: neither it nor what `package.py` takes along of wiggly imports torch. Read next:
`folder.py`.
"""
