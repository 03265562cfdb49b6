"""Quizzes: questions over the lessons and about your own run, asked again before they are forgotten."""
