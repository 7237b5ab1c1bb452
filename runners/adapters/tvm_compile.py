"""ONNX → TVM's Relax → a library of machine code, in a process of its own: the measured one stays free of the compiler.

The job (child_compiler.py) has `schedules`; what comes out is `module.so`.
"""
from __future__ import annotations

import os
import sys
from typing import Any, Dict, List

from .child_compiler import Refused, main
from .static_onnx import inputs_of, load_pinned, operators_of, outputs_of

MODULE = "module.so"
SEED = 1  # of tile sizes
PER_CORE = 16  # jobs; this and what follows are MetaSchedule's own defaults for CPUs
WIDEST = 64


def compile_model(job: Dict[str, Any]) -> Dict[str, Any]:
    """Import, schedule, compile; returns names and types, the target, and how many functions have a schedule."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    model = load_pinned(job["path"], job["names"], job["shapes"])
    foreign = [kind for kind in operators_of(model) if "::" in kind]
    if foreign:
        raise Refused("operator {} is none of ONNX's own".format(foreign[0]))
    try:
        module = from_onnx(model, keep_params_in_input=False)
    except Exception as error:  # whatever its converters of single operators raise
        raise Refused("TVM's importer refuses the model: {}".format(" ".join(str(error).split())[-250:])) from error
    processor = tvm.get_global_func("target.llvm_get_system_cpu")()
    target = tvm.target.Target({"kind": "llvm", "mcpu": processor, "num-cores": job["threads"]})
    passes = [relax.transform.DecomposeOpsForInference(), relax.transform.CanonicalizeBindings(), relax.get_pipeline("zero")]
    scheduled = 0
    with target:
        module = tvm.transform.Sequential(passes)(module)
        if job["schedules"] == "rules":
            scheduled = _schedule(module, target)
    functions = sum(1 for _, one in module.functions_items() if isinstance(one, tvm.tirx.PrimFunc))
    tvm.compile(module, target).export_library(os.path.join(job["folder"], MODULE))
    return {"inputs": [tensor.name for tensor in inputs_of(model)], "processor": processor, "functions": functions,
            "scheduled": scheduled,
            "outputs": [{"name": tensor.name, "dtype": tensor.dtype} for tensor in outputs_of(model)]}


def _schedule(module: Any, target: Any) -> int:
    """Replaces each function that the rules can schedule; returns how many."""
    import tvm
    from tvm.s_tir import meta_schedule as ms

    made = {}
    for name, function in module.functions_items():
        if not isinstance(function, tvm.tirx.PrimFunc):
            continue
        alone = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
        # Its default space ("post-order-apply" by name) crashes in this release; the same rules given one by one do not.
        space = ms.space_generator.PostOrderApply(sch_rules=_rules(ms), postprocs=_after(ms), mutator_probs={})
        context = ms.TuneContext(mod=alone, target=target, space_generator=space, search_strategy="replay-trace",
                                 task_name=name.name_hint, rand_state=SEED, num_threads=1)
        for found in reversed(context.generate_design_space()):
            if all(step.apply(found) for step in context.space_generator.postprocs):
                own = function.attrs.get("global_symbol", None)
                body = found.mod["main"].with_attr("tirx.is_scheduled", 1)
                made[name] = body.with_attr("global_symbol", own) if own else body.without_attr("global_symbol")
                break
    for name, function in made.items():
        module[name] = function
    return len(made)


def _rules(ms: Any) -> List[Any]:
    rule = ms.schedule_rule
    return [
        rule.AutoInline(into_producer=False, into_consumer=True, inline_const_tensor=True, disallow_if_then_else=True,
                        require_injective=True, require_ordered=True, disallow_op=["tirx.exp"]),
        rule.MultiLevelTiling(structure="SSRSRS", tile_binds=None, max_innermost_factor=WIDEST, vector_load_lens=None,
                              reuse_read=None, reuse_write=rule.ReuseType(req="may", levels=[1, 2], scope="global")),
        rule.ParallelizeVectorizeUnroll(max_jobs_per_core=PER_CORE, max_vectorize_extent=WIDEST,
                                        unroll_max_steps=[0, 16, 64, 512], unroll_explicit=True)]


def _after(ms: Any) -> List[Any]:
    step = ms.postproc
    return [step.DisallowDynamicLoop(), step.RewriteParallelVectorizeUnroll(), step.RewriteReductionBlock()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], compile_model))
