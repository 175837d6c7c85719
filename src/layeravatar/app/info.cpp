// info: what is in a file we read
#include <fmt/format.h>

#include "layeravatar/app/command.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/png.h"
#include "layeravatar/io/safetensors.h"

namespace layeravatar::app {
namespace {

void show(const std::string& name, const io::Array& array) {
  std::puts(fmt::format("{:60} {:5} {}", name, io::name_of(array.dtype), io::shape_text(array.shape)).c_str());
}

}  // namespace

void add_info(CLI::App& app, const Common&, Chosen& chosen) {
  auto* command = app.add_subcommand("info", "Show what is in a file (.safetensors, .npz, .npy, .png).\nExample: layeravatar info models/default.safetensors");
  auto file = std::make_shared<std::filesystem::path>();
  command->add_option("file", *file, "the file")->required();
  command->callback([=, &chosen] {
    chosen.run = [=] {
      const std::string kind = file->extension().string();
      if (kind == ".safetensors") {
        const io::SafeTensors content = io::read_safetensors(*file);
        for (const auto& [key, value] : content.metadata) std::puts(fmt::format("{}: {}", key, value).c_str());
        for (const auto& [name, array] : content.tensors) show(name, array);
      } else if (kind == ".npz") {
        const io::NpzReader reader(*file);
        for (const auto& name : reader.names()) show(name, reader.read(name));
      } else if (kind == ".npy") {
        show(file->filename().string(), io::read_npy(*file));
      } else if (kind == ".png") {
        const io::Image image = io::read_png(*file);
        std::puts(fmt::format("{}x{}, {} channels", image.width, image.height, image.channels).c_str());
      } else {
        throw Error(ErrorKind::kConfig, file->string() + ": files of this kind are not read yet; .safetensors, .npz, .npy and .png are");
      }
      return 0;
    };
  });
}

}  // namespace layeravatar::app
