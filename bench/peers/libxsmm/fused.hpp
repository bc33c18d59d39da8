// The fused RNN cell of LIBXSMM. It calls I, H and B C, K and N.
#pragma once
#include <libxsmm.h>

#include <stdexcept>
#include <string>
#include <vector>

class FusedCell {
  public:
    // T steps of B sequences, in blocks of these sizes.
    FusedCell(int T, int B, int I, int H, int block_B, int block_I, int block_H) {
        libxsmm_dnn_rnncell_desc desc{};
        desc.threads = 1;
        desc.K = H;
        desc.N = B;
        desc.C = I;
        desc.max_T = T;
        desc.bk = block_H;
        desc.bn = block_B;
        desc.bc = block_I;
        desc.cell_type = LIBXSMM_DNN_RNNCELL_RNN_TANH;
        desc.datatype_in = desc.datatype_out = LIBXSMM_DNN_DATATYPE_F32;
        desc.buffer_format = LIBXSMM_DNN_TENSOR_FORMAT_NC;
        desc.filter_format = LIBXSMM_DNN_TENSOR_FORMAT_CKPACKED;
        libxsmm_dnn_err_t status;
        cell_ = libxsmm_dnn_create_rnncell(desc, &status);
        check(status);
    }

    FusedCell(const FusedCell&) = delete;
    FusedCell& operator=(const FusedCell&) = delete;

    ~FusedCell() {
        for (libxsmm_dnn_tensor* tensor : tensors_) libxsmm_dnn_destroy_tensor(tensor);
        libxsmm_dnn_destroy_rnncell(cell_);
    }

    void bind(float* data, libxsmm_dnn_tensor_type type) {
        libxsmm_dnn_err_t status;
        auto* layout = libxsmm_dnn_rnncell_create_tensor_datalayout(cell_, type, &status);
        check(status);
        auto* tensor = libxsmm_dnn_link_tensor(layout, data, &status);
        check(status);
        libxsmm_dnn_destroy_tensor_datalayout(layout);
        tensors_.push_back(tensor);
        check(libxsmm_dnn_rnncell_bind_tensor(cell_, tensor, type));
    }

    // Gives the cell the memory that it needs for `kind`.
    void prepare(libxsmm_dnn_compute_kind kind) {
        libxsmm_dnn_err_t status;
        scratch_.resize(libxsmm_dnn_rnncell_get_scratch_size(cell_, kind, &status) + 64);
        check(status);
        check(libxsmm_dnn_rnncell_bind_scratch(cell_, kind, scratch_.data()));
        inner_.resize(libxsmm_dnn_rnncell_get_internalstate_size(cell_, kind, &status) + 64);
        check(status);
        check(libxsmm_dnn_rnncell_bind_internalstate(cell_, kind, inner_.data()));
    }

    void run(libxsmm_dnn_compute_kind kind) {
        check(libxsmm_dnn_rnncell_execute_st(cell_, kind, 0, 0));
    }

  private:
    static void check(libxsmm_dnn_err_t status) {
        // Codes below are warnings of an unusual blocking.
        if (status >= LIBXSMM_DNN_ERR_GENERAL) {
            throw std::runtime_error(std::string("LIBXSMM: ") + libxsmm_dnn_get_error(status));
        }
    }

    std::vector<char> scratch_, inner_;
    std::vector<libxsmm_dnn_tensor*> tensors_;
    libxsmm_dnn_rnncell* cell_ = nullptr;
};
