"""Learner: what users do with a model: train it, predict, look, keep, hand on.

In: loaders and a model. Out: a trained model, its history, its predictions. Fits and predictions are
inherited; each other method calls the file that does the work. Read next: `fitting.py`, `predicting.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from wiggly.data.profiling.diagnosis import Profile
from wiggly.errors import ArgumentError, ModelError
from wiggly.train import checkpoint
from wiggly.train.compiling import CompiledForward
from wiggly.train.predicting import Predicting
from wiggly.train.summary import Summary, briefly, summarise

if TYPE_CHECKING:
    from wiggly.apps.space.push import PushedSpace
    from wiggly.clean.retrain.retrained import Retrained
    from wiggly.data.edits.journal import Journal
    from wiggly.train.callbacks.activation import ActivationStats

__all__ = ["Learner"]


class Learner(Predicting):
    """A model, its data, and how it learns.

    Args:
        dls: Training and validation loaders.
        model: Takes a batch's inputs, returns its outputs.
        loss_func: Takes outputs and targets; None asks the target block.
        opt_func: `Adam`, `SGD` or another of ours, a torch optimizer class, `wrap_optimizer(...)` of one, or
            a name: of any optimizer of torch or timm, with that library's defaults ("lion", "adamw"; see
            `wrap_optimizer`).
        lr: Learning rate where a fit is given none.
        splitter: Splits the model's parameters into groups, first layers first.
        cbs: Callbacks of every fit.
        metrics: Function(s) or metric(s) computed on the validation set; settable later.
        path: Folder for checkpoints; None takes that of the loaders.
        model_dir: Folder of checkpoints below `path`.
        wd: Weight decay; None takes the optimizer's.
        wd_bn_bias: Whether normalisation layers, biases and other scales decay as well (see
            `groups.without_decay`).
        train_bn: Whether normalisation layers learn everywhere and always. False: those of all groups but the
            last keep their running statistics, frozen or not, and what is frozen gets no gradient at all, so
            no backward pass runs through it. For a pretrained body False is better and faster (`dev/LOG.md`).
        moms: Momentum at start, peak and end of a one-cycle fit (Smith & Topin, arXiv:1708.07120: momentum
            falls as the rate rises).
        engine: Where it runs; None takes the best device of this machine.
        model_config: JSON-able description to rebuild the model from, which an export needs.
        checkpoint_every: Seconds between checkpoints of a fit, as `fit` tells under `resume`; 0 writes one
            after every step, whatever it costs.

    Example:
        >>> pairs = [(torch.tensor([x / 8]), torch.tensor([x / 4])) for x in range(8)]  # y = 2x
        >>> from wiggly.data.loader import DataLoader
        >>> from wiggly.data.loaders import DataLoaders
        >>> dls = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs, bs=4))
        >>> learn = Learner(dls, nn.Linear(1, 1), loss_func=nn.MSELoss(), opt_func=torch.optim.SGD)
        >>> with learn.no_bar(), learn.no_logging():
        ...     learn.fit(200, lr=0.3)
        >>> round(learn.model(torch.tensor([0.5])).item(), 3)
        1.0
    """

    # Keeping and looking

    def save(self, file: str | Path, with_opt: bool = True) -> Path:
        """Writes weights and optimizer state to `path/model_dir/<file>.safetensors`, all of it or nothing.

        Args:
            file: Name without suffix, or an absolute path.
            with_opt: Whether to keep the optimizer's state.

        Returns:
            The file's path.

        Raises:
            StorageError: It cannot be written.
        """
        path = self._checkpoint(file)
        if self.engine.writes_weights:
            optimizer = self._opt if with_opt else None
            checkpoint.save_checkpoint(path, self.model, optimizer, writes=self.engine.is_main)
        return path

    def load(
        self, file: str | Path, device: str | torch.device | None = None, with_opt: bool = True
    ) -> Learner:
        """Reads what `save` wrote, into this learner's model.

        Args:
            file: Name without suffix, or an absolute path.
            device: Read through this device; None takes the engine's.
            with_opt: Whether to take over the optimizer's state, if the file has it.

        Returns:
            The learner.

        Raises:
            StorageError: There is no such file, or it is damaged.
            ModelError: It is of another model; the message names the layers.
        """
        several = self.engine.n_processes > 1
        device = "cpu" if several else self.engine.device if device is None else device
        path, optimizer = self._checkpoint(file), self.opt if with_opt else None
        read = self.engine.once(lambda: checkpoint.read_checkpoint(path, device))
        checkpoint.apply_checkpoint(read, path.name, self.model, optimizer)
        return self

    def _checkpoint(self, file: str | Path) -> Path:
        checkpoint.check_name(file)
        return checkpoint.checkpoint_path(self.path / self.model_dir, file)

    def get_submodule(self, target: str) -> nn.Module:
        """A part of the model by its dotted name, e.g. `"0.model.stages.1"`.

        Raises:
            ModelError: There is none of that name; the message has the nearest ones.
        """
        try:
            return self.model.get_submodule(target)
        except (AttributeError, TypeError):
            names = [name for name, _ in self.model.named_modules() if name]
            near = difflib.get_close_matches(str(target), names, 3, 0.3) or names[:3]
            raise ModelError(
                "`get_submodule` needs the name of a part of the model",
                f"there is no {target!r}",
                f"Nearest: {', '.join(near)}. All: [name for name, _ in learn.model.named_modules()]",
            ) from None

    def __repr__(self) -> str:
        return briefly(self)

    def summary(self, depth: int | None = None) -> Summary:
        """Prints the model's parts: names, output shapes, parameters, what is frozen, FLOPs; sizes in all.

        The model is run once on two items in evaluation mode; nothing is changed.

        Args:
            depth: Levels of parts to show, 1 or more; None takes two, or fewer where they would not fit a
                screen.

        Returns:
            What was printed, as numbers: `rows` has all parts at every depth.

        Raises:
            ModelError: The model fails; the message names the part that does.
        """
        made = summarise(self, depth)
        print(made)
        return made

    def compile(self, mode: str = "default", dynamic: bool = False, backend: str = "inductor") -> Self:
        """Has torch compile the model while it trains and predicts; freezing, saving and exporting go on as
        before.

        Compiling takes seconds to minutes, once for every image size, frozen or not, training or validation;
        it can pay on GPUs and for long runs. On a CPU there is little to gain: EfficientNet-Lite0 at 128 px
        trained at 1.0 to 1.2 times its speed. A batch of a size that does not come twice in a row is not
        compiled.

        Args:
            mode: "default", "reduce-overhead" (CUDA graphs, for small models on a GPU), "max-autotune" or
                "max-autotune-no-cudagraphs".
            dynamic: One program for all sizes, somewhat slower, instead of one per size.
            backend: "inductor", or "eager" and "aot_eager" to find out whether a model can be compiled at
                all.

        Returns:
            The learner.

        Raises:
            ArgumentError: The mode or the backend is unknown.
        """
        self.engine.compiled = CompiledForward(mode, dynamic, backend)
        return self

    @property
    def activation_stats(self) -> ActivationStats:
        """The `ActivationStats` among the learner's callbacks.

        Raises:
            ArgumentError: There is none.
        """
        from wiggly.train.callbacks.activation import ActivationStats

        for callback in self.cbs:
            if isinstance(callback, ActivationStats):
                return callback
        raise ArgumentError(
            "`activation_stats` needs an ActivationStats among the learner's callbacks",
            f"they are {[type(callback).__name__ for callback in self.cbs]}",
            "Make the learner with cbs=ActivationStats(with_hist=True), then fit.",
        )

    def profile(self, n: int = 64) -> Profile:
        """Says where the time of a training batch goes, how long the model waits for data, and what to do.

        Args:
            n: Items to time one by one.
        """
        return self.dls.profile(self, n)

    # Doors to rooms above, imported on call

    def export(
        self,
        fname: str | Path = "export.wiggly",
        *,
        title: str | None = None,
        description: str = "",
        licence: str | None = None,
        calibrate: bool = True,
        wanted_accuracy: float | None = None,
        graph: bool = True,
        variants: Sequence[str] = (),
        bound: float = 0.01,
    ) -> Path:
        """Writes the bundle that anyone can predict with, at exactly the path given.

        Args:
            fname: The file; a relative path starts at the current folder, whatever the suffix.
            title: Name for people; None takes that of the file.
            description: A few sentences for people.
            licence: Terms for using the model, as an SPDX identifier; None takes those of the pretrained
                weights that it started from, where they are known.
            calibrate: Fit a temperature on the validation items, so that probabilities are shares of right
                answers; the likeliest class never changes by it.
            wanted_accuracy: How often answers that are not "unsure" should be right, in (0, 1]; None halves
                the errors.
            graph: Also write the model for ONNX Runtime, which browsers run; needs "wiggly[export]".
            variants: Smaller graphs to try: "fp16", "int8".
            bound: By how much a variant may be worse, on validation items; 0.01 is one percentage point.

        Returns:
            The path of the bundle.

        Raises:
            BundleError: The model cannot be described without code, or another kind of file is in the way.
            StorageError: The file cannot be written; an older bundle there is untouched.
        """
        from wiggly.bundle.export import export_bundle

        return self.engine.once(
            lambda: export_bundle(
                self,
                Path(fname),
                title=title,
                description=description,
                licence=licence,
                calibrate=calibrate,
                wanted_accuracy=wanted_accuracy,
                graph=graph,
                variants=variants,
                bound=bound,
            )
        )

    def report(self, path: str | Path = "report.html") -> Path:
        """Writes one self-contained page about the data, the training and the errors.

        Args:
            path: The file; a relative path starts at the current folder.

        Returns:
            The path of the page.

        Raises:
            StorageError: The file cannot be written; an older page there is untouched.
        """
        from wiggly.interpret.report import write_report

        return self.engine.once(lambda: write_report(self, Path(path)))

    def retrain(
        self,
        edits: str | Path | Journal,
        epochs: int | None = None,
        lr: float | None = None,
        make: Callable[[Any], Any] | None = None,
    ) -> Retrained:
        """Trains such a learner anew on the data as edits leave them, and prints what that changed.

        Network, first weights and fits are those of this learner, the split is the one it has. Both models
        are scored on the same validation items with cleaned labels. This learner stays as it is.

        Args:
            edits: The journal, or its path (below the data's folder, else below the working folder).
            epochs: Train for so long instead: by `fine_tune` from published weights, else by
                `fit_one_cycle`.
            lr: Highest learning rate then; None takes that of these fits.
            make: Loaders to a new learner; needed where the learner was not made by `vision_learner`,
                `tabular_learner` or another function of ours.

        Returns:
            The new learner as `.learn`, scores with intervals, flips by class, items now right and wrong.

        Raises:
            ArgumentError: It is not known how this learner was made or trained, or items are not known one
                by one.
            DataError: There is no such journal, it is of other data, or it leaves no items.
        """
        from wiggly.clean.retrain.retraining import retrain

        return retrain(self, edits, epochs, lr, make)

    def push_to_space(
        self,
        repo_id: str,
        *,
        private: bool = False,
        static: bool = False,
        token: str | None = None,
        timeout: float = 1800.0,
    ) -> PushedSpace:
        """Makes a Hugging Face Space of the model, and proves that it answers as the model does.

        Args:
            repo_id: "user/name".
            private: Whether only its owner sees it.
            static: A page without a server, where the model runs in the visitor's browser.
            token: With the right to write; None takes that of `hf auth login`, or of the variable HF_TOKEN.
            timeout: Seconds until it must run.

        Returns:
            Where it is, and how far its answers are from the recorded ones. The address is printed, too.

        Raises:
            ArgumentError: The name is none, or there is no token.
            BundleError: The model cannot be exported with a graph.
            SpaceError: The name is taken, the hub refuses, the Space does not start, or says something else.
        """
        from wiggly.apps.space.push import push_learner

        return self.engine.once(
            lambda: push_learner(self, repo_id, private=private, static=static, token=token, timeout=timeout)
        )
