"""The network computes the published formulas, and every loss reaches the latent."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tcell_assets.science.model.network import (
    Dropout,
    ExpressionTransformer,
    FullAttention,
    NetworkOutput,
    forward_operations,
)
from tcell_assets.science.model.settings import NetworkSettings
from tcell_assets.settings import SettingsError
from tcell_assets_tests.science.numpy_network import numpy_forward

GENES, WELLS = 96, 5


def published_size_network(**settings: object) -> tuple[ExpressionTransformer, np.ndarray]:
    torch.manual_seed(1)
    network = ExpressionTransformer(NetworkSettings(**settings), GENES).eval()  # type: ignore[arg-type]
    if network.linear_path is not None:
        torch.nn.init.normal_(network.linear_path.weight, std=0.01)
    expression = np.random.default_rng(2).normal(8, 1, size=(WELLS, GENES)).astype(np.float32)
    return network, expression


def _outputs(output: NetworkOutput, name: str) -> torch.Tensor:
    """What the oracle calls by this name: the latent, or the outputs of a head, side by side where it has several."""
    if name == "latent":
        return output.latent
    if name == "scores":
        return torch.stack([output.heads[score] for score in ("tscore", "cytotrace", "pseudotime")], dim=1)
    return output.heads[name]


def weights_of(network: ExpressionTransformer) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("linear_path", [False, True])
@pytest.mark.parametrize("use_zscore", [False, True])
def test_every_output_equals_an_independent_float64_implementation(
    linear_path: bool, use_zscore: bool
) -> None:
    network, expression = published_size_network(linear_path=linear_path)
    scaler = {}
    if use_zscore:
        scaler = {"mean": expression.mean(axis=0), "standard_deviation": expression.std(axis=0)}
        network.set_scaler(*scaler.values())

    with torch.no_grad():
        output = network(torch.from_numpy(expression))

    expected = numpy_forward(weights_of(network), expression, heads=4, layers=2, **scaler)
    for name, value in expected.items():
        np.testing.assert_allclose(_outputs(output, name).numpy(), value, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("head", ["scores", "is_activated", "activation_score"])
@pytest.mark.parametrize("parameter", ["latent_mlp.3.weight", "latent_mlp.0.weight", "gene_embedding.weight"])
def test_every_head_has_a_gradient_in_the_latent_and_below(head: str, parameter: str) -> None:
    network, expression = published_size_network()

    _outputs(network(torch.from_numpy(expression)), head).square().sum().backward()

    gradient = network.get_parameter(parameter).grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_every_head_is_a_linear_map_of_the_exported_latent() -> None:
    network, expression = published_size_network(linear_path=True)
    with torch.no_grad():
        output = network(torch.from_numpy(expression))
        for head in ("scores", "is_activated", "activation_score"):
            torch.testing.assert_close(network.head(head)(output.latent).squeeze(-1), _outputs(output, head))


def test_training_drops_nothing_inside_attention_unless_asked_to() -> None:
    tokens = torch.randn(2, 7, 128)
    plain = FullAttention(NetworkSettings()).train()
    torch.testing.assert_close(plain(tokens), plain(tokens), rtol=0, atol=0)

    with_dropout = FullAttention(NetworkSettings(attention_dropout=0.5)).train()
    assert not torch.equal(with_dropout(tokens), with_dropout(tokens))


def test_training_memory_does_not_hold_genes_by_genes_weights() -> None:
    genes, d_model = 512, 128
    attention = FullAttention(NetworkSettings()).train()
    saved: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attention(torch.randn(1, genes, d_model))
    assert max(saved) <= 3 * genes * d_model < genes * genes * attention.heads


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    values = torch.ones(1_000, 1_001, requires_grad=True)

    dropped = Dropout(0.1).train()(values)
    dropped.sum().backward()

    # 1 001 000 Bernoulli draws: the share's standard error is 0.0003, so 0.0015 is five of them.
    assert abs(float((dropped == 0).double().mean()) - 0.1) < 0.0015
    assert torch.unique(dropped).tolist() == pytest.approx([0, 1 / 0.9], rel=1e-4)
    torch.testing.assert_close(values.grad, dropped.detach())
    assert Dropout(0.1).eval()(values) is values


def test_dropping_one_element_says_nothing_of_its_neighbours() -> None:
    torch.manual_seed(0)
    dropped = (Dropout(0.5).train()(torch.ones(400_000)) == 0).double() - 0.5
    for distance in (1, 2, 3, 4, 8):
        correlation = 4 * float((dropped[:-distance] * dropped[distance:]).mean())
        assert abs(correlation) < 5 / np.sqrt(400_000), distance


def test_wells_do_not_see_each_other() -> None:
    network, expression = published_size_network()
    with torch.no_grad():
        together = network(torch.from_numpy(expression)).latent
        alone = torch.cat([network(torch.from_numpy(expression[i : i + 1])).latent for i in range(WELLS)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_the_order_of_genes_does_not_matter_once_their_embeddings_move_along() -> None:
    network, expression = published_size_network()
    permutation = np.random.default_rng(0).permutation(GENES)
    moved, _ = published_size_network()
    moved.gene_embedding.weight.data = moved.gene_embedding.weight.data[permutation]
    with torch.no_grad():
        expected = network(torch.from_numpy(expression)).latent
        permuted = moved(torch.from_numpy(expression[:, permutation])).latent
    torch.testing.assert_close(permuted, expected, rtol=0, atol=1e-5)


def test_pooling_heads_and_latent_stay_fp32_under_bf16() -> None:
    network, expression = published_size_network(linear_path=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = network(torch.from_numpy(expression))
    assert {value.dtype for value in (output.latent, *output.heads.values())} == {torch.float32}
    head = network.head("scores")
    recomputed = torch.nn.functional.linear(output.latent, head.weight, head.bias)
    torch.testing.assert_close(recomputed, _outputs(output, "scores"), rtol=0, atol=1e-6)


def test_induced_attention_costs_time_linear_in_the_genes() -> None:
    induced = NetworkSettings(attention="induced")
    full = NetworkSettings()
    assert forward_operations(induced, 20_000) == pytest.approx(10 * forward_operations(induced, 2_000))
    assert forward_operations(full, 20_000) > 50 * forward_operations(full, 2_000)


def test_induced_attention_reads_every_gene() -> None:
    network, expression = published_size_network(attention="induced", inducing_points=8)
    values = torch.from_numpy(expression).requires_grad_()
    network(values).latent.sum().backward()
    assert values.grad is not None
    assert (values.grad.abs() > 0).all()


def test_more_genes_than_full_attention_can_afford_says_what_it_would_take() -> None:
    with pytest.raises(SettingsError, match=r"20,000 genes takes .* TFLOP .* published 2,541 .*induced"):
        ExpressionTransformer(NetworkSettings(), 20_000)


def test_more_genes_are_allowed_where_asked_for_or_where_attention_is_induced() -> None:
    small = {"d_model": 4, "heads": 1, "feed_forward": 4}
    ExpressionTransformer(NetworkSettings(**small, full_attention_gene_limit=20_000), 20_000)  # type: ignore[arg-type]
    ExpressionTransformer(NetworkSettings(**small, attention="induced"), 20_000)  # type: ignore[arg-type]
