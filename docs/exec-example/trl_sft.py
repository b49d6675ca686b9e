"""Supervised fine-tuning with TRL, as a stage of cairn: in/in-0 is a model, in/in-1 its demonstrations."""

import os
import shutil

from datasets import load_dataset
from transformers import AutoModelForCausalLM, GPT2Tokenizer
from trl import SFTConfig, SFTTrainer

from cairn_callback import CairnCallback, asked

model = AutoModelForCausalLM.from_pretrained("in/in-0")
tokenizer = GPT2Tokenizer("in/in-0/tokenizer/vocab.json", "in/in-0/tokenizer/merges.txt")
tokenizer.pad_token = tokenizer.eos_token
rows = load_dataset("json", data_files="in/in-1/rows.jsonl", split="train")
rows = rows.select_columns(["prompt", "completion"])

trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=rows,
    args=SFTConfig(
        output_dir="work",
        max_steps=int(os.environ["STEPS"]),
        learning_rate=float(os.environ["LR"]),
        per_device_train_batch_size=8,
        max_length=model.config.n_positions,
        seed=int(os.environ["CAIRN_SEED"]),
        logging_steps=1,
        save_steps=10,
        use_cpu=True,
        report_to="none",
    ),
    callbacks=[CairnCallback()],
)
trainer.train(resume_from_checkpoint=os.environ.get("CAIRN_RESUME"))
if not asked("stop"):
    trainer.save_model("out/final")
    for name in ("vocab.json", "merges.txt"):  # what cairn reads of a tokenizer
        shutil.copy(f"in/in-0/tokenizer/{name}", "out/final")
