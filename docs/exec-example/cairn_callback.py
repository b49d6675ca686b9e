"""cairn for transformers and TRL: give a CairnCallback() to any Trainer.

    trainer = SFTTrainer(..., callbacks=[CairnCallback()])
    trainer.train(resume_from_checkpoint=os.environ.get("CAIRN_RESUME"))

What the trainer logs becomes cairn's metrics, what it saves becomes a checkpoint of the stage, and
when cairn asks, it saves, or saves and stops. Without cairn it does nothing.
"""

import os

from transformers import TrainerCallback


def tell(line):
    if "CAIRN_EVENTS" in os.environ:
        with open(os.environ["CAIRN_EVENTS"], "a") as events:
            events.write(line + "\n")


def asked(what):
    return os.path.exists(os.path.join(os.environ.get("CAIRN_ASK", "."), what))


class CairnCallback(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if asked("checkpoint") or asked("stop"):
            control.should_save = True
        if asked("stop"):
            control.should_training_stop = True
        return control

    def on_log(self, args, state, control, logs=None, **kwargs):
        numbers = [f"{name}={value!r}" for name, value in (logs or {}).items()
                   if isinstance(value, (int, float)) and " " not in name]
        if "train_runtime" in (logs or {}):  # the trainer's last words
            tell(" ".join(["summary"] + numbers))
        elif state.global_step > 0:
            tell(" ".join([f"step {state.global_step} of {state.max_steps}"] + numbers))

    def on_save(self, args, state, control, **kwargs):
        step = state.global_step
        path = os.path.abspath(os.path.join(args.output_dir, f"checkpoint-{step}"))
        tell(f"checkpoint {step} {path}")
