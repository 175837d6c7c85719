// The files of torch.save (.pth, .pt): a zip archive with one pickle and the storages of its tensors.
#pragma once
#include <filesystem>

#include "layeravatar/io/pickle.h"

namespace layeravatar::io {

/// Tensors become arrays in C order, whatever device their storage was on. An offset and strides are honoured, zero
/// strides too; the views of one storage become separate arrays, PickleLimits::array_bytes bounds them all.
/// Throws Error(kInput): the messages of zip.h and pickle.h, "<file>: not a file of torch.save",
/// "<file>: written by torch.save in its form before version 1.6, ...", "<file>: a TorchScript program, ...".
PickleValue read_torch_file(const std::filesystem::path& path, const PickleLimits& limits = {});
/// The same of bytes in memory; `file` names them in messages.
PickleValue parse_torch_file(std::string bytes, const std::string& file, const PickleLimits& limits = {});

/// A bare tensor as torch.save writes it, for torch.load: float32, in C order. Throws Error(kInternal) for other types and for more than
/// 2^31 - 1 elements, Error(kOutput) where the file cannot be written.
void write_torch_tensor(const std::filesystem::path& path, const Array& array);

/// By content: an archive is a file of torch.save, anything else a pickle.
PickleValue read_pickle_or_torch_file(const std::filesystem::path& path);

}  // namespace layeravatar::io
