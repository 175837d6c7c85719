// The release's template cache: twelve .npy files in one folder (spec/body_and_data.md section 5.7).
#pragma once
#include <filesystem>

#include "layeravatar/templates/layered_template.h"

namespace layeravatar::templates {

/// The folder appears complete or not at all; it must not exist or be empty. Throws Error(kOutput).
void write_template_folder(const std::filesystem::path& folder, const LayeredTemplate& t);

/// The blocks follow from the labels. Throws Error(kInput) naming the file, or the folder and the array.
LayeredTemplate read_template_folder(const std::filesystem::path& folder);

}  // namespace layeravatar::templates
