"""Names of kernels and operators, as profilers of an H200 and of a CPU gave them."""

import pytest

from lvdm.training.profile import OTHER, by_kind, kind_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64", "convolution"),
        ("sm90_xmma_wgrad_indexed_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64", "convolution"),
        ("void implicit_convolveNd_sgemm<__nv_bfloat16, 3, 128, 6, 7, 3, 3, 5, 1, false>(int, int)", "convolution"),
        ("void cudnn::engines_precompiled::nchwToNhwcKernel<__nv_bfloat16, float>", "changes of layout"),
        ("void nhwcAddPaddingKernel<__nv_bfloat16, __nv_bfloat16, float, true>(int)", "changes of layout"),
        ("nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_bias_TNT", "matrix products"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_bf16_128x64_64x3_tn_align2>", "matrix products"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x256", "attention"),
        ("void pytorch_flash::flash_bwd_dot_do_o_kernel<true, Flash_bwd_kernel_traits<256>>", "attention"),
        ("triton_red_fused__softmax_backward_data__to_copy_expand_index_put_mul", "fused by the compiler"),
        ("void at::native::(anonymous namespace)::RowwiseMomentsCUDAKernel<float>(long)", "normalisation"),
        ("void at::native::(anonymous namespace)::multi_tensor_apply_kernel<>", "optimiser and average"),
        ("void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda>", "copies"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::silu_kernel>", "elementwise"),
        ("ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "communication"),
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::addmm", "matrix products"),
        ("aten::_fused_adamw_", "optimiser and average"),
        ("aten::native_group_norm_backward", "normalisation"),
        ("aten::copy_", "copies"),
        ("aten::add_", "elementwise"),
        ("cudaLaunchKernel", OTHER),
    ],
)
def test_the_kind_of_work_is_known_by_its_name(name, kind):
    assert kind_of(name) == kind


def test_times_are_summed_up_by_kind_the_largest_first():
    times = [("aten::add_", 1.0), ("aten::addmm", 2.0), ("aten::mul", 3.0), ("aten::mm", 0.5)]
    assert list(by_kind(times).items()) == [("elementwise", 4.0), ("matrix products", 2.5)]
