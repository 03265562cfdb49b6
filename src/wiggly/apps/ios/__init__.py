"""From a bundle to an Xcode project: a SwiftUI app with the model in it, or one that asks a server.

`writing.py` puts the folder together, `project.py` writes the file that Xcode opens. What is not generated
lies in ios/ of the repository and travels with the wheel. Read next: `writing.py`.
"""
